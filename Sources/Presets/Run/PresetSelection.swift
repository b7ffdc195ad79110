import AttentionCore
import Basics
import Foundation
import Records

/// The cells of a preset that a run is asked for: a part of it, some variants of it, or everything.
package struct PresetSelection {
  /// The cells, by kinds; kinds without any are left out.
  package let kinds: [any SelectedCells]
  /// Cells of the whole preset.
  package let total: Int
  /// The part.
  package let shard: Shard
  private let all: [CellEntry]
  /// The numbers of the cells.
  package let asked: Set<Int>
  private let presetHash: String

  /// Selects cells.
  /// - Parameters:
  ///   - shard: the part. Numbers are those of the whole preset, so that `only` moves no cell to another part.
  ///   - only: variants; a cell is kept that needs no other. `nil`: all.
  /// - Throws: `UsageError` for variants that the preset has not; `ConfigurationError`.
  package init(_ preset: Preset, shard: Shard, only: [String]?, catalog: Catalog) throws {
    if let only { for id in only { _ = try catalog.type(of: id) } }
    let wanted = only.map { Set($0) }, numbering = try PresetNumbering(preset), total = numbering.total
    var present: Set<String> = [], all: [CellEntry] = [], asked: Set<Int> = [], isAny = false
    func select<Kind: ExperimentKind>(_ kind: Kind.Type) throws -> (any SelectedCells)? {
      var numbered = numbering.cells(of: kind)
      all += numbered.entries(of: total, shard)
      if let wanted {
        let variants = try numbered.cells.map { try kind.variants(of: $0.cell, in: catalog) }
        present.formUnion(variants.joined())
        numbered.cells = zip(numbered.cells, variants).filter { $1.isSubset(of: wanted) }.map(\.0)
      }
      isAny = isAny || !numbered.cells.isEmpty
      numbered.cells.removeAll { !shard.holds($0.number) }
      asked.formUnion(numbered.cells.map(\.number))
      return numbered.cells.isEmpty ? nil : Selection(kind: kind, cells: numbered.cells.map(\.cell))
    }
    kinds = try preset.kinds.types.compactMap { try select($0) }
    if let wanted, let id = wanted.subtracting(present).min() {
      throw UsageError(
        "--only \(shown(id)): the preset has no such variant; it has \(present.sorted().joined(separator: ", "))"
      )
    }
    if let only, !isAny {
      throw UsageError(
        "--only \(shown(only.joined(separator: ","))): nothing in the preset has these variants alone")
    }
    (self.all, self.asked, self.total, self.shard) = (all, asked, total, shard)
    presetHash = Fingerprint.of(preset.source)
  }

  /// How many cells.
  package var count: Int { asked.count }

  /// Writes down in a folder which cells are asked for. Those that were asked for before stay in the list while they are
  /// cells of the preset, so that nobody takes their rows for somebody else's.
  /// - Returns: ids of the same preset's cells on other machines, each with the one here.
  /// - Throws: `UsageError` when the list cannot be read or written.
  package func record(in folder: RunFolder) throws(UsageError) -> [String: String] {
    let before = try CellEntry.read(in: folder.path)
    let known = Set(before.map(\.cellID))
    var entries = all.filter { asked.contains($0.number) || known.contains($0.cellID) }
    var former: [String: String] = [:]
    if try EnvironmentRecord.read(folder)?["preset_hash"].stringValue == presetHash {
      let ids = Set(all.map(\.cellID))
      let here = Dictionary(all.map { ($0.number, $0.cellID) }) { first, _ in first }
      let others = before.filter { !ids.contains($0.cellID) && $0.cells == total }
      for entry in others { former[entry.cellID] = here[entry.number] }
      entries += others
    }
    let sorted = entries.stablySorted(by: \.number)
    if sorted != before || before.isEmpty {
      try RunFolder.replace(folder.path + "/" + CellEntry.table, with: CellEntry.text(sorted))
    }
    return former
  }
}
