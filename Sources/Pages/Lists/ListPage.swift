import AttentionCore
import Basics
import Experts
import ImageTasks
import LeastSquares
import LongText
import Models
import Training
import Presets
import ScalingLaws
import Settings
import Tasks
import Vision

/// What `attnlab list NAME` shows of a variant, a task, a model or a training: a heading and what is declared, as tables.
///
/// The pages of the documentation have the same tables, as Markdown; a test compares them.
package struct ListPage {
  /// Title, idea, equation and source, a line each.
  package var heading: [String]
  /// Settings, operands and exports, with the columns whose words are typed as they stand; those that there are none of
  /// are missing.
  package var tables: [(table: TextTable, code: Set<Int>)] = []
  /// The same declarations for scripts.
  package var json: JSONValue
  /// Whether the heading says everything.
  private var isWhole = false

  /// The page for people.
  package var text: String {
    if isWhole { return heading.joined(separator: "\n") }
    return
      (heading + [
        "", tables.isEmpty ? "no parameters" : tables.map { $0.table.text }.joined(separator: "\n\n"),
      ])
      .joined(separator: "\n")
  }

  /// The tables alone, for a document that has headings of its own.
  package var markdown: String {
    tables.isEmpty
      ? "No settings." : tables.map { $0.table.markdown(code: $0.code) }.joined(separator: "\n\n")
  }

  /// The page of a variant.
  package init(_ description: VariantDescription) {
    let card = description.card
    heading = [card.id + ": " + card.title, "", card.idea, card.equation, card.paper]
    json = description.json
    addSettings(description.parameters)
    if !description.operands.isEmpty {
      var table = TextTable(["operand (--in)", "axes", "in a layer", "meaning"])
      for operand in description.operands {
        let axes = operand.axes.map(\.description).joined(separator: ", ")
        table.add([operand.name.description, "[\(axes)]", operand.source.description, operand.help])
      }
      tables.append((table, [0, 1]))
    }
    if !description.exports.isEmpty {
      var table = TextTable(["export (--export)", "meaning"])
      for export in description.exports { table.add([export.name.description, export.help]) }
      tables.append((table, [0]))
    }
  }

  /// The page of a task.
  package init(_ description: TaskDescription) {
    let card = description.card
    heading = [card.id + ": " + card.title, "", card.idea, card.paper]
    json = description.json
    heading += [""]
    if let recipe = description.recipe {
      heading += ["attnlab train \(card.id), where nothing else is said (preset recipes):"] + recipe.lines
    } else {
      heading += [
        "no recipe: attnlab train \(card.id) begins with the general defaults, which may not learn it"
      ]
    }
    addSettings(description.parameters)
  }

  /// The page of a way around attention.
  package init(way type: any TextWay.Type) {
    func parameters<Way: TextWay>(_ type: Way.Type) -> [VariantDescription.ParameterDescription] {
      VariantDescription.ParameterDescription.all(of: Way.Configuration.self)
    }
    let card = type.card, parameters = parameters(type)
    heading = [card.id + ": " + card.title, "", card.idea, card.paper]
    json = .object([
      "id": .string(card.id), "title": .string(card.title), "idea": .string(card.idea),
      "paper": .string(card.paper), "parameters": .array(parameters.map(\.json)),
    ])
    addSettings(parameters)
  }

  /// The page of a set of settings that is neither a variant's nor a task's.
  package init<Set: ParameterSet>(_ id: String, _ title: String, _ type: Set.Type) {
    let parameters = VariantDescription.ParameterDescription.all(of: type)
    heading = ["\(id): \(title)"]
    json = .object(["id": .string(id), "parameters": .array(parameters.map(\.json))])
    addSettings(parameters)
  }

  /// The page of a mechanism that is a setting of a model.
  package init(_ card: LayerCard) {
    let parameters = VariantDescription.ParameterDescription.all(of: ModelConfiguration.self).filter {
      card.parameters.contains($0.name)
    }
    heading = [
      card.id + ": " + card.title, "", card.idea, card.equation, card.paper, "", "model: {\(card.setting)}",
    ]
    json = card.json(parameters)
    addSettings(parameters)
  }

  /// The page of a law.
  package init(_ form: any ScalingForm) {
    heading = [
      "\(form.name): y = \(form.formula)", "",
      "a law of \(form.variables.joined(separator: ", ")): attnlab fit FILE --form \(form.name)", "",
      "fitted: " + form.parameters.map(\.name).joined(separator: ", "),
    ]
    json = .object([
      "id": .string(form.name), "formula": .string(form.formula),
      "variables": .array(form.variables.map { .string($0) }),
      "parameters": .array(form.parameters.map { .string($0.name) }),
    ])
    isWhole = true
  }

  /// The page of a preset: what it asks, and its text.
  /// - Throws: `UsageError` when it cannot be read.
  package init(preset file: String) throws {
    let name = PresetFinder.name(of: file), text = try PresetFinder.text(of: file)
    let title = PresetFinder.title(of: file), question = PresetFinder.words(of: file, "question")
    heading = ["\(name): \(title)", "", question, "attnlab run \(name)", file, "", text.trimmed]
    json = .object([
      "id": .string(name), "file": .string(file), "title": .string(title), "question": .string(question),
      "text": .string(text),
    ])
    isWhole = true
  }

  /// A default as a user would type it: `1`, not `1.0`.
  private static func text(_ value: ParameterValue) -> String {
    if case .double(let number) = value { shortNumber(number) } else { value.description }
  }

  private mutating func addSettings(_ parameters: [VariantDescription.ParameterDescription]) {
    guard !parameters.isEmpty else { return }
    var table = TextTable(["parameter", "default", "unit", "allowed", "meaning"])
    for parameter in parameters {
      table.add([
        parameter.name, Self.text(parameter.defaultValue), parameter.unit, parameter.allowed,
        parameter.help,
      ])
    }
    tables.append((table, [0, 1]))
  }
}

extension ListPage {
  /// What `attnlab train` takes besides a task, by the section of a model.yaml or the path of --set.
  package static let sections = [
    "model": ListPage("model", "the shape of a Transformer", ModelConfiguration.self),
    "training": ListPage("training", "how it is trained", TrainingConfiguration.self),
    "rotary": ListPage(
      "rotary", "how far positions turn q and k: plain(…), linear, dynamic, yarn, llama3 or none, by layers",
      RotaryPositions.self),
    "experts": ListPage(
      "experts", "feed-forward layers of experts: dense, or routed(…), by layers", ExpertMixture.self),
  ]

  /// The page of a name: a variant before all others, which a user's own catalogue may name as it likes.
  /// - Throws: `ConfigurationError` for a name that there is not, with the nearest.
  package static func named(_ name: String, of catalog: Catalog, also topics: [String]) throws -> ListPage {
    let tasks = TaskCatalog.standard
    if catalog.ids.contains(name) { return ListPage(VariantDescription(try catalog.type(of: name))) }
    if let section = sections[name] { return section }
    if tasks.ids.contains(name) { return ListPage(TaskDescription(try tasks.type(of: name))) }
    let ways = WayCatalog.standard, cards = ModelConfiguration.cards
    if ways.ids.contains(name) { return ListPage(way: try ways.type(of: name)) }
    if let card = cards.first(where: { $0.id == name }) { return ListPage(card) }
    if let form = FormCatalog.all.first(where: { $0.name == name }) { return ListPage(form) }
    let presets = PresetFinder.files()
    if let file = presets.first(where: { PresetFinder.name(of: $0) == name }) {
      return try ListPage(preset: file)
    }
    let names =
      catalog.ids + cards.map(\.id) + tasks.ids + ways.ids + topics + FormCatalog.all.map(\.name)
      + presets.map(PresetFinder.name(of:))
    throw ConfigurationError(
      field: "variant or task", value: shown(name), allowed: "one of \(choices(names, near: name))")
  }

  /// The beginnings of settings, `left=`, of the first variant that a command line names; with a task, those of task, model
  /// and training by their paths.
  package static func settings(of words: [String], in catalog: Catalog) -> [String] {
    func names(_ name: String) -> [String] {
      let page = try? named(name, of: catalog, also: [])
      return page?.json["parameters"].arrayValue.compactMap { $0["name"].stringValue.map { $0 + "=" } } ?? []
    }
    if let variant = words.first(where: catalog.ids.contains) { return names(variant) }
    guard let task = words.first(where: TaskCatalog.standard.ids.contains) else { return [] }
    return [("task", task), ("model", "model"), ("training", "training")].flatMap { path, name in
      names(name).map { "\(path).\($0)" }
    }
  }
}

extension LayerCard {
  /// The declaration for scripts.
  /// - Parameter parameters: those of its settings that are shown.
  func json(_ parameters: [VariantDescription.ParameterDescription]) -> JSONValue {
    .object([
      "id": .string(id), "title": .string(title), "idea": .string(idea), "equation": .string(equation),
      "paper": .string(paper), "model": .string(setting), "parameters": .array(parameters.map(\.json)),
    ])
  }
}
