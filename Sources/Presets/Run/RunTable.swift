import Basics
import Records

/// The table of a kind as a run writes it: rows are appended, or take the place of those that they make obsolete.
struct RunTable<Row: ResultRow>: ~Copyable {
  private let path: String
  private var obsolete: Set<String>
  private var writer: RowWriter

  /// Opens the table.
  /// - Parameters:
  ///   - path: the file.
  ///   - obsolete: ids of cells whose rows stand there until the cell is run again.
  /// - Throws: `UsageError` when it cannot be read or written.
  init(path: String, obsolete: Set<String>) throws(UsageError) {
    (self.path, self.obsolete) = (path, obsolete)
    writer = try RowWriter(path: path, of: Row.self)
  }

  /// Writes the rows of a cell. Obsolete ones are there until these are, whatever happens meanwhile.
  /// - Throws: `UsageError` when they cannot be written.
  /// - Parameter others: further ids under which its rows may stand.
  mutating func put(
    _ rows: [Row], of cell: some ExperimentCell, formerly others: [String] = []
  ) throws(UsageError) {
    guard obsolete.remove(cell.id) != nil else { return try writer.append(rows) }
    let table = try CSVTable(contentsOf: path), column = try table.index(of: Row.idColumn)
    let ids = Set([cell.id] + cell.formerIDs + others)
    let foreign = [String](repeating: "", count: max(0, table.header.count - Row.columns.count))
    let place = table.rows.firstIndex { ids.contains($0[column]) } ?? table.rows.count
    let before = table.rows[..<place], after = table.rows[place...].filter { !ids.contains($0[column]) }
    let lines = [table.header] + before + rows.map { $0.fields + foreign } + after
    try RunFolder.replace(path, with: lines.map(CSVTable.line).joined())
    // The file has another inode now.
    writer = try RowWriter(path: path, of: Row.self)
  }
}
