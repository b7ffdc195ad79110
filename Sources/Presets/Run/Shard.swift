import Basics
import Foundation
import Records

/// A part of a preset: of n parts the i-th has the cells number i, i + n, i + 2n, …
///
/// Lengths ascend in a preset, so neighbours cost alike and parts that take turns cost alike, too. A run of everything is
/// part 1 of 1.
public struct Shard: Hashable, Sendable, CustomStringConvertible {
  /// Which part, from 1.
  public let index: Int
  /// How many parts.
  public let count: Int

  /// Everything.
  public static let whole = Shard(index: 1, count: 1)
  /// What `--shard` takes, in words.
  public static let allowed = "i/n with 1 ≤ i ≤ n ≤ \(most), such as 3/12"
  /// The most parts: as many as cells.
  static let most = 1_000_000
  /// The folder of parts in the folder of a run.
  public static let folder = "shards"

  private init(index: Int, count: Int) { (self.index, self.count) = (index, count) }

  /// The part that `i/n` names; `nil` when the text is no such thing.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let index = Self.number(parts[0]), let count = Self.number(parts[1]),
      index <= count
    else { return nil }
    self.init(index: index, count: count)
  }

  private static func number(_ text: Substring) -> Int? {
    guard text.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(text) else { return nil }
    return (1...most).contains(number) ? number : nil
  }

  /// The part of a task of a Slurm array; `nil` outside one.
  ///
  /// The variables tell the part of a regular array (`0-59`, `1-12`, `0-30:2`). Of a list with gaps, as when some tasks are
  /// submitted again, they would tell another part than before: that is refused.
  /// - Parameter variables: the environment.
  /// - Throws: `UsageError` naming the variable.
  public static func ofArrayTask(_ variables: [String: String]) throws(UsageError) -> Shard? {
    let prefix = "SLURM_ARRAY_TASK_"
    guard let text = variables[prefix + "ID"], !text.isEmpty else { return nil }
    func number(_ name: String, default other: Int? = nil) throws(UsageError) -> Int {
      if let value = variables[prefix + name].flatMap({ Int($0) }), value >= 0 { return value }
      if let other, variables[prefix + name] == nil { return other }
      throw UsageError(
        "\(prefix)\(name) \(shown(variables[prefix + name] ?? "(not set)")): no number of a task; give --shard i/n"
      )
    }
    let id = try number("ID"), least = try number("MIN"), count = try number("COUNT")
    let step = max(1, try number("STEP", default: 1))
    let most = try number("MAX", default: least + (count - 1) * step)
    guard id >= least, (id - least) % step == 0, (most - least) / step + 1 == count, id <= most,
      count <= Self.most
    else {
      throw UsageError(
        "\(prefix)ID \(id): the array (\(count) tasks from \(least) to \(most)) has gaps, so the part of this task "
          + "does not follow; give --shard i/n")
    }
    return Shard(index: (id - least) / step + 1, count: count)
  }

  /// `3/12`.
  public var description: String { "\(index)/\(count)" }

  /// Whether it is everything.
  public var isWhole: Bool { count == 1 }

  /// Whether it has the cell with a number.
  public func holds(_ number: Int) -> Bool { (number - index) % count == 0 }

  /// The folder of its results in the folder of a run: its own, so that no two tasks write into one file.
  public func path(in folder: String) -> String {
    isWhole ? folder : "\(folder)/\(Shard.folder)/\(index)-of-\(count)"
  }
}

/// Cells of one kind with their numbers in the preset.
public struct NumberedCells<Kind: ExperimentKind>: Sendable {
  /// The cells, in the order of their numbers.
  public var cells: [(number: Int, cell: Kind.Cell)]

  /// What `cells.csv` says of them.
  /// - Parameters:
  ///   - total: how many cells the preset has.
  ///   - shard: the part that they are.
  public func entries(of total: Int, _ shard: Shard) -> [CellEntry] {
    let name = Kind.names(of: cells.map(\.cell))
    return cells.map { number, cell in
      var entry = CellEntry()
      (entry.number, entry.cells, entry.shard, entry.shards) = (number, total, shard.index, shard.count)
      (entry.kind, entry.cellID, entry.cell) = (Kind.id, cell.id, name(cell))
      return entry
    }
  }
}

/// The cells of a preset, of all kinds, each worked out once and numbered from 1: kinds follow one another in the order of the
/// catalogue.
public struct PresetNumbering: Sendable {
  /// Cells of all kinds.
  public let total: Int
  private let numbered: [String: any Sendable]

  /// Works out and numbers the cells of a preset.
  /// - Parameter preset: the preset.
  /// - Throws: `UsageError` for cells that cannot be.
  public init(_ preset: Preset) throws(UsageError) {
    var total = 0, numbered: [String: any Sendable] = [:]
    func number<Kind: ExperimentKind>(_ kind: Kind.Type) throws(UsageError) {
      let cells = try preset.cells(of: kind)
      numbered[kind.id] = NumberedCells<Kind>(
        cells: cells.enumerated().map { (total + $0.offset + 1, $0.element) })
      total += cells.count
    }
    for kind in preset.kinds.types { try number(kind) }
    (self.total, self.numbered) = (total, numbered)
  }

  /// The cells of a kind with their numbers.
  public func cells<Kind: ExperimentKind>(of kind: Kind.Type) -> NumberedCells<Kind> {
    numbered[kind.id] as? NumberedCells<Kind> ?? NumberedCells(cells: [])
  }
}
