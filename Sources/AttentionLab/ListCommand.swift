import ArgumentParser
import AttentionCore
import Basics
import Models
import Presets
import Records
import ScalingLaws
import Settings
import Tasks

/// `attnlab list`: variants and tasks with their parameters.
struct ListCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract:
      "List variants, tasks, forms, presets; the settings of a variant, a task, a model, a training; columns; a schema.",
    discussion: HelpText.page(
      examples: [
        "attnlab list",
        "attnlab list sliding-window",
        "attnlab list mqar",
        "attnlab list model",
        "attnlab list training",
        "attnlab list columns --json",
        "attnlab list lsh --markdown",
        "attnlab list schema > preset.schema.json",
        "attnlab list --json",
      ]))

  @Argument(
    help: "A variant, a task, model, training, columns or schema; without one, everything is listed.",
    completion: .listed)
  var variant: String?

  @Flag(help: "Print JSON.")
  var json = false

  @Flag(help: "Print the tables as Markdown, as the documentation has them.")
  var markdown = false

  func files() -> CommandFiles { .none }

  func run() throws {
    if json && markdown { throw UsageError("--markdown: it goes without --json") }
    let catalog = AttentionLab.catalog
    let tasks = TaskCatalog.standard
    if variant == Self.columns, !catalog.ids.contains(Self.columns) {
      print(
        json ? tables.json.pretty : markdown ? tables.markdown : tables.text)
      return
    }
    if variant == Self.schema, !catalog.ids.contains(Self.schema) {
      guard !markdown else { throw UsageError("--markdown: a schema is JSON") }
      print(PresetSchema(catalog: catalog).json.pretty)
      return
    }
    if let variant {
      let page = try ListPage.named(variant, of: catalog, also: Self.topics)
      print(json ? page.json.pretty : markdown ? page.markdown : page.text)
      return
    }
    if markdown { throw UsageError("--markdown: it needs the name of one thing, such as sliding-window") }
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

  /// The columns of every table that the program writes.
  private var tables: ResultTables { ResultTables(ExperimentCatalog.standard.types.flatMap { $0.tables }) }

  /// The tables that the program writes.
  private static let columns = "columns"

  /// The JSON Schema of presets.
  private static let schema = "schema"

  /// What is described besides variants and tasks.
  static var topics: [String] { ListPage.sections.keys.sorted() + [columns, schema] }
}
