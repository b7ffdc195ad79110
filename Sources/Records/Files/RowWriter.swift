import Basics
import Foundation

/// Appends rows to a CSV file: one `write` and one `fsync` a row, so that a crash loses at most the row being written.
public struct RowWriter: ~Copyable {
  private let path: String
  private let descriptor: Int32
  /// Columns at the end of the file that are not ours: an empty field each.
  private let foreign: Int

  /// Opens a file to append to; a new or empty file gets the header.
  /// - Throws: `UsageError` when it cannot be opened or written.
  public init(path: String, columns: [String]) throws(UsageError) {
    try self.init(path: path, columns: columns, foreign: 0)
  }

  /// Opens a table of records to append to. A table from before some columns were added gets them, empty in its rows.
  /// - Throws: `UsageError` when it cannot be read or written.
  public init<Row: Record>(path: String, of row: Row.Type) throws(UsageError) {
    try self.init(path: path, columns: Row.columns, foreign: try Self.extend(path, to: Row.self))
  }

  private init(path: String, columns: [String], foreign: Int) throws(UsageError) {
    (self.path, self.foreign) = (path, foreign)
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw UsageError("\(path): \(String(cString: strerror(errno)))") }
    if lseek(descriptor, 0, SEEK_END) == 0 { try append(columns) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Appends a row of a table of records.
  /// - Throws: `UsageError` naming the file and the system's reason, such as a full disk.
  public func append(_ row: some Record) throws(UsageError) { try append([row]) }

  /// Appends rows of a table of records together: all of them are there, or none is.
  /// - Throws: as above.
  public func append(_ rows: [some Record]) throws(UsageError) {
    try write(rows.map { CSVTable.line($0.fields + [String](repeating: "", count: foreign)) }.joined())
  }

  /// Gives a table the columns that it lacks.
  /// - Returns: how many columns at its end are not among these.
  /// - Throws: `UsageError`; also when rows would lack what no row may.
  private static func extend<Row: Record>(_ path: String, to row: Row.Type) throws(UsageError) -> Int {
    let columns = Row.columns
    guard FileManager.default.contents(atPath: path)?.isEmpty == false else { return 0 }
    let table = try CSVTable(contentsOf: path)
    if let needed = Row.schema.first(where: { $0.need == .always && !table.header.contains($0.name) }) {
      throw UsageError(
        "\(path): no column \(needed.name), which every row needs: this is no table of this program")
    }
    let foreign = table.header.filter { !columns.contains($0) }
    let header = columns + foreign
    guard table.header != header else { return foreign.count }
    let positions = header.map { table.header.firstIndex(of: $0) }
    let rows = table.rows.map { row in positions.map { position in position.map { row[$0] } ?? "" } }
    try RunFolder.replace(path, with: ([header] + rows).map(CSVTable.line).joined())
    return foreign.count
  }

  /// Appends a row.
  /// - Throws: as above.
  public func append(_ fields: [String]) throws(UsageError) { try write(CSVTable.line(fields)) }

  /// Appends lines. When they cannot be written whole, the file is cut back to the rows before them.
  private func write(_ lines: String) throws(UsageError) {
    let bytes = Array(lines.utf8)
    let before = lseek(descriptor, 0, SEEK_END)
    var count: Int
    repeat { count = Foundation.write(descriptor, bytes, bytes.count) } while count < 0 && errno == EINTR
    guard count == bytes.count, fsync(descriptor) == 0 || errno == EINVAL else {
      let reason = count >= 0 && count < bytes.count ? "the disk is full" : String(cString: strerror(errno))
      _ = ftruncate(descriptor, before)
      throw UsageError(
        "\(path): \(reason); the rows before are kept, and the same command continues once there is room")
    }
  }

  /// Cuts a last line without a line break, which a killed run can leave, off a file.
  /// - Returns: the bytes removed.
  /// - Throws: `UsageError` when the file cannot be changed.
  public static func repair(_ path: String) throws(UsageError) -> Int {
    guard let data = FileManager.default.contents(atPath: path), let last = data.last, last != 0x0A else {
      return 0
    }
    let kept = data.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    guard truncate(path, off_t(kept)) == 0 else {
      throw UsageError("\(path): \(String(cString: strerror(errno)))")
    }
    return data.count - kept
  }
}
