import AttentionCore
import Basics
import ImageTasks
import LongText
import Models
import Presets
import ScalingLaws
import Tasks

/// What `attnlab list` shows without a name: variants, layers, tasks, forms of laws, presets.
package struct Overview {
  private let variants: [VariantDescription]
  private let tasks = TaskCatalog.standard.types.map { TaskDescription($0) }
  private let presets = PresetFinder.files()

  /// - Parameter catalog: the variants.
  package init(catalog: Catalog) { variants = catalog.types.map(VariantDescription.init) }

  /// A table each, for people.
  package var text: String {
    var tables = [
      Self.table(["variant", "idea"], variants.map { [$0.card.id, $0.card.idea] }),
      Self.table(["layer", "idea", "model"], ModelConfiguration.cards.map { [$0.id, $0.idea, $0.setting] }),
      Self.table(["task", "idea"], tasks.map { [$0.card.id, $0.card.idea] }),
      Self.table(["way", "idea"], WayCatalog.standard.types.map { [$0.card.id, $0.card.idea] }),
      Self.table(["form", "formula"], FormCatalog.all.map { [$0.name, $0.formula] }),
    ]
    if presets.isEmpty {
      tables.append("presets: no Experiments folder was found; attnlab run takes the path of a .yaml file")
    } else {
      let rows = presets.map { [PresetFinder.name(of: $0), PresetFinder.title(of: $0)] }
      tables.append(Self.table(["preset", "title"], rows))
    }
    return tables.joined(separator: "\n\n")
  }

  /// The same with every declaration, for programs.
  package var json: JSONValue {
    .object([
      "variants": .array(variants.map(\.json)),
      "layers": .array(ModelConfiguration.cards.map { ListPage($0).json }),
      "tasks": .array(tasks.map(\.json)),
      "ways": .array(WayCatalog.standard.types.map { ListPage(way: $0).json }),
      "forms": .array(
        FormCatalog.all.map { ListPage($0).json }),
      "presets": .array(
        presets.map {
          .object([
            "id": .string(PresetFinder.name(of: $0)), "file": .string($0),
            "title": .string(PresetFinder.title(of: $0)),
          ])
        }),
    ])
  }

  private static func table(_ header: [String], _ rows: [[String]]) -> String {
    var table = TextTable(header)
    for row in rows { table.add(row) }
    return table.text
  }
}
