import Basics
import Foundation
import Presets
import Records

/// A folder that a run, or a part of one, writes into, as it is now. Nothing in it is changed.
public struct SweepFolder: Sendable {
  /// The path.
  public let path: String
  /// The cells that its run was asked for.
  public let entries: [CellEntry]
  /// `environment.json`; `nil`: there is none.
  let environment: JSONValue?
  private let numbers: [String: Int]

  /// Looks into a folder.
  /// - Throws: `UsageError` for a list of cells or a record that is none.
  init(_ path: String) throws(UsageError) {
    self.path = path
    entries = try CellEntry.read(in: path)
    environment = try RunFolder.record(in: path)
    numbers = Dictionary(entries.map { ($0.cellID, $0.number) }) { first, _ in first }
  }

  /// Whether somebody wrote down what was asked for, were it nothing.
  var hasEntries: Bool { FileManager.default.fileExists(atPath: path + "/" + CellEntry.table) }

  /// Whether its run was asked for everything, as one part.
  var isWhole: Bool { !entries.isEmpty && entries.allSatisfy { $0.shards == 1 } }

  /// Whether this process itself holds the folder, so that the lock says nothing of a run.
  var isOwn = false

  /// Whether a run is writing there.
  var isRunning: Bool { !isOwn && RunFolder.isHeld(path) }

  /// The folders of results that a path stands for: itself, and the parts of a sweep in it.
  /// - Throws: `UsageError` when there are none.
  static func all(in path: String, kinds: ExperimentCatalog) throws(UsageError) -> [SweepFolder] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      throw UsageError("\(shown(path, limit: 400)): no such folder; give one that attnlab run wrote")
    }
    var found: [SweepFolder] = []
    for folder in [path] + parts(of: path) where holdsResults(folder, kinds) {
      found.append(try SweepFolder(folder))
    }
    guard !found.isEmpty else {
      throw UsageError(
        "\(path): there are no results in it, nor in \(Shard.folder)/ below it; attnlab run writes some")
    }
    return found
  }

  /// The folders of parts, in the order of their numbers.
  static func parts(of path: String) -> [String] {
    let folder = path + "/" + Shard.folder
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let numbered = names.compactMap { name in
      Shard(name.replacing("-of-", with: "/")).map { (shard: $0, path: "\(folder)/\(name)") }
    }
    return numbered.sorted { ($0.shard.count, $0.shard.index) < ($1.shard.count, $1.shard.index) }
      .map(\.path)
  }

  private static func holdsResults(_ folder: String, _ kinds: ExperimentCatalog) -> Bool {
    (kinds.types.map { $0.table } + [CellEntry.table]).contains {
      FileManager.default.fileExists(atPath: folder + "/" + $0)
    }
  }

  /// The rows of a kind, cell by cell, in the order of the file.
  /// - Returns: the cells, and the bytes of a torn last line, which is none of them.
  /// - Throws: `UsageError` for a table that is none.
  func cells<Kind: ExperimentKind>(of kind: Kind.Type) throws(UsageError) -> (
    cells: [CellRows<Kind>], torn: Int
  ) {
    let file = path + "/" + kind.table
    let (table, torn) = try CSVTable.wholeLines(of: file)
    guard let table else { return ([], torn) }
    _ = try table.index(of: Kind.Row.idColumn)
    let rows = RowOrigin(beside: file).filled(try Kind.Row.rows(of: table))
    let cells = rows.grouped(by: \.cellID).map {
      CellRows<Kind>(rows: $0.elements, number: numbers[$0.key], folder: path)
    }
    return (cells, torn)
  }
}

/// The rows of one cell in one folder.
struct CellRows<Kind: ExperimentKind>: Sendable {
  /// The rows, in the order of the file.
  let rows: [Kind.Row]
  /// The cell's number in the preset, where the folder says it.
  let number: Int?
  /// The folder.
  let folder: String

  /// The file.
  var file: String { folder + "/" + Kind.table }
  /// The id.
  var id: String { rows.first?.cellID ?? "" }
  /// The row that says how it ended; `nil`: the run was ended before that.
  var last: Kind.Row? { rows.last(where: \.isLast) }
  /// Whether it has its result.
  var isDone: Bool { last?.ending == .done }
}
