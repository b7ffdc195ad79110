import ArgumentParser
import Basics
import Commands
import ImageTasks
import Pages
import Presets
import Records
import ScalingLaws
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
        "attnlab list power-offset",
        "attnlab list quickstart",
        "attnlab list columns --json",
        "attnlab list lsh --markdown",
        "attnlab list schema > preset.schema.json",
        "attnlab list --json",
      ]))

  @Argument(
    help:
      "A variant, a task, a form, a preset, model, training, columns or schema; without one, everything is listed.",
    completion: .listed)
  var variant: String?

  @Flag(help: "Print JSON.")
  var json = false

  @Flag(help: "Print the tables as Markdown, as the documentation has them.")
  var markdown = false

  func files() -> CommandFiles { .none }

  func run() throws {
    if json && markdown { throw UsageError("--markdown: it goes without --json") }
    let catalog = Installed.catalog
    if variant == Self.columns, !catalog.ids.contains(Self.columns) {
      if markdown { print(tables.markdown) } else { show(tables.text, or: tables.json, if: json) }
      return
    }
    if variant == Self.schema, !catalog.ids.contains(Self.schema) {
      guard !markdown else { throw UsageError("--markdown: a schema is JSON") }
      print(PresetSchema(catalog: catalog, kinds: Installed.kinds).json.pretty)
      return
    }
    if let variant {
      let page = try ListPage.named(variant, of: catalog, also: Self.topics)
      if markdown { print(page.markdown) } else { show(page.text, or: page.json, if: json) }
      return
    }
    if markdown { throw UsageError("--markdown: it needs the name of one thing, such as sliding-window") }
    let overview = Overview(catalog: catalog)
    show(overview.text, or: overview.json, if: json)
  }

  /// The columns of every table that the program writes.
  private var tables: ResultTables { ResultTables(Installed.kinds.types.flatMap { $0.tables }) }

  /// The tables that the program writes.
  private static let columns = "columns"

  /// The JSON Schema of presets.
  private static let schema = "schema"

  /// What is described besides variants and tasks.
  static var topics: [String] { ListPage.sections.keys.sorted() + [columns, schema] }
}

extension CompletionKind {
  /// What `attnlab list` describes.
  static var listed: CompletionKind {
    .custom { _, _, _ in
      Installed.catalog.ids + TaskCatalog.standard.ids + ListCommand.topics + FormCatalog.all.map(\.name)
        + PresetFinder.files().map(PresetFinder.name(of:))
    }
  }
}
