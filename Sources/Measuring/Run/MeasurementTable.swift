import Basics
import Records

/// `measurements.csv` as a run writes it: a row is appended, or takes the place of the one that it makes obsolete.
struct MeasurementTable: ~Copyable {
  private let path: String
  private var obsolete: Set<String>
  private var writer: RowWriter

  /// Opens the table.
  /// - Parameter obsolete: ids of cells whose rows stand there until the cell is measured again.
  /// - Throws: `UsageError` when it cannot be read or written.
  init(path: String, obsolete: Set<String>) throws(UsageError) {
    (self.path, self.obsolete) = (path, obsolete)
    writer = try RowWriter(path: path, of: MeasurementRow.self)
  }

  /// Writes the row of a cell. An obsolete row is there until this one is, whatever happens meanwhile.
  /// - Throws: `UsageError` when it cannot be written.
  mutating func put(_ row: MeasurementRow, of cell: Cell) throws(UsageError) {
    guard obsolete.remove(cell.id) != nil else { return try writer.append(row) }
    let table = try CSVTable(contentsOf: path), column = try table.index(of: "cell_id")
    let ids = [cell.id, cell.formerID]
    let own = row.fields + [String](repeating: "", count: max(0, table.header.count - row.fields.count))
    let rows = table.rows.map { ids.contains($0[column]) ? own : $0 }
    try RunFolder.replace(path, with: ([table.header] + rows).map(CSVTable.line).joined())
    // The file has another inode now.
    writer = try RowWriter(path: path, of: MeasurementRow.self)
  }
}
