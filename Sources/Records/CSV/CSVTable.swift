import Basics
import Foundation
import Settings

/// A table read from CSV, strictly: RFC 4180, one header, every row as long as the header but for empty fields.
///
/// SwiftCSV accepts rows that are too short and quotes that never end; a results file with a torn line must not be
/// read as if it were whole, hence a reader of our own. Of tables of other programs it takes a byte-order mark, spaces
/// around names, columns without a name and separators at the ends of lines.
/// - Complexity: O(bytes), one pass.
public struct CSVTable: Sendable {
  /// The name used in error messages.
  public let file: String
  /// The column names, those of this program in today's words. The third column is `column 3` when it has none but has values.
  public let header: [String]
  /// The rows, each with as many fields as the header.
  public let rows: [[String]]
  /// The line of the file on which each row starts; the header is on line 1.
  public let lines: [Int]
  /// Whether the last line ends as all others do; one that does not may have been cut off within its last field.
  public let isWhole: Bool

  /// Reads a file or a pipe.
  /// - Throws: `UsageError` naming the file and the line.
  public init(contentsOf path: String, dialect: CSVDialect = CSVDialect()) throws(UsageError) {
    guard FileManager.default.fileExists(atPath: path) else {
      throw UsageError("\(shown(path, limit: 400)): no such file")
    }
    let bytes: [UInt8]
    do throws(FileFailure) {
      bytes = try InputFile.bytes(path)
    } catch {
      throw UsageError(error.description)
    }
    try self.init(bytes: bytes, file: path, dialect: dialect)
  }

  /// Reads text.
  /// - Throws: `UsageError` naming the file and the line.
  public init(text: String, file: String) throws(UsageError) {
    try self.init(bytes: Array(text.utf8), file: file)
  }

  /// Reads bytes.
  /// - Throws: `UsageError` naming the file and the line, or saying which option reads such a file.
  public init(bytes: [UInt8], file: String, dialect: CSVDialect = CSVDialect()) throws(UsageError) {
    let bytes = try dialect.text(bytes, file: file)
    try dialect.check(bytes, file: file)
    var scanner = CSVScanner(bytes: bytes, file: file, dialect: dialect)
    guard let first = try scanner.next() else {
      throw UsageError("\(file): the file is empty; a header line is needed")
    }
    let names = first.fields.map(\.trimmed)
    var seen: Set<String> = []
    if let twice = names.first(where: { !$0.isEmpty && !seen.insert($0).inserted }) {
      throw UsageError("\(file):\(first.line): column \(shown(twice)) appears twice")
    }
    var rows: [[String]] = []
    var lines: [Int] = []
    while let record = try scanner.next() {
      guard let fields = Self.fitted(record.fields, to: names) else {
        throw UsageError(
          "\(file):\(record.line): \(record.fields.count) fields where the header has \(names.count)")
      }
      rows.append(dialect.hasDecimalCommas ? fields.map(dialect.cell) : fields)
      lines.append(record.line)
    }
    let unnamed = names.indices.filter { names[$0].isEmpty }
    let empty = Set(unnamed.filter { column in rows.allSatisfy { $0[column].trimmed.isEmpty } })
    let kept = empty.isEmpty ? nil : names.indices.filter { !empty.contains($0) }
    let named = names.indices.map { names[$0].isEmpty ? Self.name(ofColumn: $0, among: seen) : names[$0] }
    self.file = file
    self.lines = lines
    header = FormerColumns.renamed(kept.map { $0.map { named[$0] } } ?? named)
    let full = kept.map { kept in rows.map { row in kept.map { row[$0] } } } ?? rows
    self.rows = FormerColumns.respelled(full, header)
    isWhole = bytes.last == 0x0A || bytes.last == 0x0D
  }

  /// Reads the lines of a table of this program that are written whole, while another process may be writing: a torn last
  /// line is none.
  /// - Returns: the table, `nil` while not even its header is there; and the bytes of the torn line.
  /// - Throws: `UsageError` naming the file and the line.
  package static func wholeLines(of path: String) throws(UsageError) -> (table: CSVTable?, torn: Int) {
    guard FileManager.default.fileExists(atPath: path) else { return (nil, 0) }
    let bytes: [UInt8]
    do throws(FileFailure) {
      bytes = try InputFile.bytes(path)
    } catch {
      throw UsageError(error.description)
    }
    guard let end = bytes.lastIndex(of: 0x0A) else { return (nil, bytes.count) }
    return (try CSVTable(bytes: Array(bytes[...end]), file: path), bytes.count - end - 1)
  }

  /// The fields as many as there are columns: empty ones too many are cut, and columns without a name may be missing.
  private static func fitted(_ fields: [String], to names: [String]) -> [String]? {
    if fields.count == names.count { return fields }
    if fields.count > names.count {
      return fields[names.count...].allSatisfy { $0.trimmed.isEmpty }
        ? Array(fields.prefix(names.count)) : nil
    }
    guard names[fields.count...].allSatisfy(\.isEmpty) else { return nil }
    return fields + [String](repeating: "", count: names.count - fields.count)
  }

  /// `column 3`, with a mark more when a column has that very name.
  private static func name(ofColumn index: Int, among names: Set<String>) -> String {
    var name = "column \(index + 1)"
    while names.contains(name) { name += "'" }
    return name
  }

  /// Refuses a table of this program that was cut off: the program ends every line with a line break, and a number
  /// that lost its last digits is a number still.
  /// - Throws: `UsageError` naming the last line.
  public func requireWhole() throws(UsageError) {
    guard !isWhole else { return }
    throw UsageError(
      "\(file):\(lines.last ?? 1): the last line has no line break, so it may be cut off; "
        + "remove the line, or end it with a line break if it is whole")
  }

  /// The position of a column.
  /// - Throws: `UsageError` with the columns that there are.
  public func index(of column: String) throws(UsageError) -> Int {
    if let index = header.firstIndex(of: column) { return index }
    if let name = FormerColumns.current[column], let index = header.firstIndex(of: name) { return index }
    throw UsageError("\(file): no column \(shown(column)); there are \(shown(list: header))")
  }

  /// The fields of a column.
  /// - Throws: `UsageError` when there is no such column.
  public func strings(_ column: String) throws(UsageError) -> [String] {
    let index = try index(of: column)
    return rows.map { $0[index] }
  }

  /// The numbers of a column; an empty field is `nil`.
  /// - Throws: `UsageError` naming the line of a field that is neither empty nor a number.
  public func numbers(_ column: String) throws(UsageError) -> [Double?] {
    let index = try index(of: column)
    var values: [Double?] = []
    values.reserveCapacity(rows.count)
    for (row, line) in zip(rows, lines) {
      let text = row[index]
      if text.isEmpty {
        values.append(nil)
      } else if let value = Self.number(text) {
        values.append(value)
      } else {
        throw UsageError("\(file):\(line): column \(shown(column)): \(shown(text)) is not a number")
      }
    }
    return values
  }

  /// The number that a cell is, spaces around it aside; `nil` of anything else. Numbers are written as everywhere else.
  package static func number(_ cell: String) -> Double? { CoreScalar(cell.trimmed).number }

  /// A line of fields with its line break.
  public static func line(_ fields: [String]) -> String {
    fields.map(csvField).joined(separator: ",") + "\n"
  }
}

/// Splits bytes into records.
private struct CSVScanner {
  let bytes: [UInt8]
  let file: String
  let separator: UInt8
  let joinsRuns: Bool
  var position = 0
  var line = 1

  init(bytes: [UInt8], file: String, dialect: CSVDialect) {
    (self.bytes, self.file) = (bytes, file)
    (separator, joinsRuns) = (dialect.separator, dialect.joinsRuns)
  }

  /// The next record, or `nil` at the end; blank lines are skipped.
  mutating func next() throws(UsageError) -> (fields: [String], line: Int)? {
    if joinsRuns { skipRun() }
    while position < bytes.count, isBreak(bytes[position]) {
      skipBreak()
      if joinsRuns { skipRun() }
    }
    guard position < bytes.count else { return nil }
    let start = line
    var fields: [String] = []
    while true {
      fields.append(try field())
      guard position < bytes.count else { return (fields, start) }
      if bytes[position] == separator {
        position += 1
        if joinsRuns { skipRun() }
        // Blanks before the end of a line separate nothing.
        if joinsRuns, position == bytes.count { return (fields, start) }
        if !joinsRuns || !isBreak(bytes[position]) { continue }
      }
      skipBreak()
      return (fields, start)
    }
  }

  private func isBreak(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }

  private mutating func skipRun() {
    while position < bytes.count, bytes[position] == separator { position += 1 }
  }

  private mutating func skipBreak() {
    if bytes[position] == 0x0D, position + 1 < bytes.count, bytes[position + 1] == 0x0A { position += 1 }
    position += 1
    line += 1
  }

  /// Where a quote opens after blanks, or nil.
  private func openingQuote() -> Int? {
    var at = position
    while at < bytes.count, bytes[at] == 0x20, separator != 0x20 { at += 1 }
    return at < bytes.count && bytes[at] == 0x22 ? at : nil
  }

  private mutating func field() throws(UsageError) -> String {
    guard let opening = openingQuote() else {
      let start = position
      while position < bytes.count, bytes[position] != separator, !isBreak(bytes[position]) {
        if bytes[position] == 0x22 { throw UsageError("\(file):\(line): a quote inside an unquoted field") }
        position += 1
      }
      return try text(bytes[start..<position])
    }
    let opened = line
    var content: [UInt8] = []
    position = opening + 1
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      if byte != 0x22 {
        if byte == 0x0A { line += 1 }
        content.append(byte)
      } else if position < bytes.count, bytes[position] == 0x22 {
        content.append(0x22)
        position += 1
      } else {
        while position < bytes.count, bytes[position] == 0x20, separator != 0x20 { position += 1 }
        if position < bytes.count, bytes[position] != separator, !isBreak(bytes[position]) {
          throw UsageError("\(file):\(line): text after a closing quote")
        }
        return try text(content[...])
      }
    }
    throw UsageError("\(file):\(opened): a quoted field does not end")
  }

  private func text(_ bytes: ArraySlice<UInt8>) throws(UsageError) -> String {
    // A number is read up to a zero byte, and what follows would be lost.
    guard !bytes.contains(0) else { throw UsageError("\(file):\(line): a zero byte: this is no text") }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      let hint =
        CSVDialect.isWindows1252(self.bytes)
        ? "; --encoding latin1 reads Western European text" : ": this is no text"
      throw UsageError("\(file):\(line): not UTF-8\(hint)")
    }
    return text
  }
}
