import Basics
import Foundation
import Records

// Results as users name them: a table, or a folder that holds one.

extension ExperimentKind {
  /// The table of a path: the path, or, of a folder, the table in it.
  public static func file(in path: String) -> String { Folder.exists(path) ? path + "/" + table : path }

  /// The rows of several paths, one after another, each with the machine that it was made on.
  /// - Throws: `UsageError` for a file that cannot be read or holds no rows.
  public static func rows(
    of paths: [String], dialect: CSVDialect = CSVDialect()
  ) throws(UsageError) -> [Row] {
    try Row.gather(paths.map(file)) { path throws(UsageError) in try Row.read(path, dialect: dialect) }
  }
}

extension ExperimentCatalog {
  /// The names of all tables.
  public var tableNames: [String] { types.flatMap { $0.tables.map(\.name) } }

  /// The files that a run writes into its folder and that reports and comparisons read.
  public var resultFiles: [String] { tableNames + [CellEntry.table, RunFolder.environmentName] }

  /// The files that reading a path's results reads.
  public func read(in path: String) -> [String] {
    Folder.exists(path) ? resultFiles.map { path + "/" + $0 } : [path]
  }

  /// The columns of times in a table, which belong to the machine of their row; none in a table of another program.
  /// - Parameter header: the table's header.
  public func timeColumns(_ header: [String]) -> Set<String> {
    func times<Kind: ExperimentKind>(_ kind: Kind.Type) -> [String] {
      kind.Row.schema.filter { $0.role == .time }.map(\.name)
    }
    return types.first { $0.isHeader(header) }.map { Set(times($0)) } ?? []
  }

  /// The kind whose results a path holds: of a folder, the first whose table is there; of a file, the one whose columns it
  /// has. Where there is none it is the first kind, whose reader says what is missing.
  public func kind(of path: String, dialect: CSVDialect = CSVDialect()) -> any ExperimentKind.Type {
    let found: (any ExperimentKind.Type)?
    if Folder.exists(path) {
      found = types.first { FileManager.default.fileExists(atPath: path + "/" + $0.table) }
    } else if FileManager.default.fileExists(atPath: path),
      let header = try? CSVTable(contentsOf: path, dialect: dialect).header
    {
      found = types.first { $0.isHeader(header) }
    } else {
      found = nil
    }
    return found ?? types[0]
  }
}

extension ExperimentKind {
  /// Whether a header is that of its table.
  public static func isHeader(_ header: [String]) -> Bool { Row.isHeader(header) }
}
