import ArgumentParser
import AttentionCore
import Basics
import Laboratory
import Models
import ScalingLaws
import Settings
import Tasks

/// `attnlab list`: variants and tasks with their parameters.
struct ListCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract:
      "List variants, tasks, forms, presets; the settings of a variant, a task, a model, a training; columns.",
    discussion: HelpText.page(
      examples: [
        "attnlab list",
        "attnlab list sliding-window",
        "attnlab list mqar",
        "attnlab list model",
        "attnlab list training",
        "attnlab list columns --json",
        "attnlab list --json",
      ]))

  @Argument(
    help: "A variant, a task, model, training or columns; without one, everything is listed.",
    completion: .listed)
  var variant: String?

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles { .none }

  func run() throws {
    let catalog = AttentionLab.catalog
    let tasks = TaskCatalog.standard
    if variant == Self.columns, !catalog.ids.contains(Self.columns) {
      print(json ? ResultTables.json.pretty : ResultTables.text)
      return
    }
    if let variant, let (title, parameters) = Self.sections[variant], !catalog.ids.contains(variant) {
      print(
        json
          ? JSONValue.object(["id": .string(variant), "parameters": .array(parameters.map(\.json))]).pretty
          : Self.page(["\(variant): \(title)"], parameters))
      return
    }
    if let variant, !catalog.ids.contains(variant), tasks.ids.contains(variant) {
      let description = TaskDescription(try tasks.type(of: variant))
      let page = Self.page(
        [
          description.card.id + ": " + description.card.title, "", description.card.idea,
          description.card.paper,
        ],
        description.parameters)
      print(json ? description.json.pretty : page)
      return
    }
    if let variant {
      let ids = catalog.ids + tasks.ids + Self.topics
      guard catalog.ids.contains(variant) else {
        throw ConfigurationError(
          field: "variant or task", value: shown(variant), allowed: "one of \(choices(ids, near: variant))")
      }
      let description = VariantDescription(try catalog.type(of: variant))
      print(json ? description.json.pretty : Self.page(description))
      return
    }
    let all = catalog.types.map(VariantDescription.init)
    if json {
      print(
        JSONValue.object([
          "variants": .array(all.map(\.json)),
          "tasks": .array(tasks.types.map { TaskDescription($0).json }),
          "forms": .array(
            FormCatalog.all.map {
              .object([
                "id": .string($0.name), "formula": .string($0.formula),
                "variables": .array($0.variables.map { .string($0) }),
                "parameters": .array($0.parameters.map { .string($0.name) }),
              ])
            }),
          "presets": .array(
            PresetFinder.files().map {
              .object([
                "id": .string(PresetFinder.name(of: $0)), "file": .string($0),
                "title": .string(PresetFinder.title(of: $0)),
              ])
            }),
        ]).pretty)
      return
    }
    var table = TextTable(["variant", "idea"])
    for description in all { table.add([description.card.id, description.card.idea]) }
    print(table.text)
    table = TextTable(["task", "idea"])
    for type in tasks.types { table.add([type.card.id, type.card.idea]) }
    print("\n" + table.text)
    table = TextTable(["form", "formula"])
    for form in FormCatalog.all { table.add([form.name, form.formula]) }
    print("\n" + table.text)
    let presets = PresetFinder.files()
    if presets.isEmpty {
      print("\npresets: no Experiments folder was found; attnlab run takes the path of a .yaml file")
    } else {
      table = TextTable(["preset", "title"])
      for file in presets { table.add([PresetFinder.name(of: file), PresetFinder.title(of: file)]) }
      print("\n" + table.text)
    }
  }

  /// The tables that the program writes.
  private static let columns = "columns"

  /// What is described besides variants and tasks.
  static var topics: [String] { sections.keys.sorted() + [columns] }

  /// What attnlab train takes besides a task, by the section of a model.yaml or the path of --set.
  private static let sections = [
    "model": (
      "the shape of a Transformer", VariantDescription.ParameterDescription.all(of: ModelConfiguration.self)
    ),
    "training": (
      "how it is trained", VariantDescription.ParameterDescription.all(of: TrainingConfiguration.self)
    ),
  ]

  private static func page(_ description: VariantDescription) -> String {
    let card = description.card
    var lines = page(
      [card.id + ": " + card.title, "", card.idea, card.equation, card.paper], description.parameters)
    if !description.operands.isEmpty {
      var table = TextTable(["operand (--in)", "axes", "in a layer", "meaning"])
      for operand in description.operands {
        let axes = operand.axes.map(\.description).joined(separator: ", ")
        table.add([operand.name.description, "[\(axes)]", operand.source.description, operand.help])
      }
      lines += "\n\n" + table.text
    }
    if !description.exports.isEmpty {
      var table = TextTable(["export (--export)", "meaning"])
      for export in description.exports { table.add([export.name.description, export.help]) }
      lines += "\n\n" + table.text
    }
    return lines
  }

  private static func page(
    _ heading: [String], _ parameters: [VariantDescription.ParameterDescription]
  ) -> String {
    var lines = heading
    if parameters.isEmpty {
      lines += ["", "no parameters"]
    } else {
      var table = TextTable(["parameter", "default", "unit", "allowed", "meaning"])
      for parameter in parameters {
        table.add([
          parameter.name, parameter.defaultValue.description, parameter.unit, parameter.allowed,
          parameter.help,
        ])
      }
      lines += ["", table.text]
    }
    return lines.joined(separator: "\n")
  }
}
