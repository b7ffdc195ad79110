import Foundation

/// A table read from CSV, strictly: RFC 4180, UTF-8, one header, every row as long as the header.
///
/// SwiftCSV accepts rows that are too short and quotes that never end; a results file with a torn line must not be
/// read as if it were whole, hence a reader of our own.
/// - Complexity: O(bytes), one pass.
public struct CSVTable: Sendable {
  /// The name used in error messages.
  public let file: String
  /// The column names.
  public let header: [String]
  /// The rows, each with as many fields as the header.
  public let rows: [[String]]
  /// The line of the file on which each row starts; the header is on line 1.
  public let lines: [Int]
  /// Whether the last line ends as all others do; one that does not may have been cut off within its last field.
  public let isWhole: Bool

  /// Reads a file.
  /// - Throws: `UsageError` naming the file and the line.
  public init(contentsOf path: String) throws(UsageError) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw UsageError(
        FileManager.default.fileExists(atPath: path)
          ? "\(path): cannot be read as a file" : "\(path): no such file")
    }
    try self.init(data: data, file: path)
  }

  /// Reads text.
  /// - Throws: `UsageError` naming the file and the line.
  public init(text: String, file: String) throws(UsageError) {
    try self.init(data: Data(text.utf8), file: file)
  }

  /// Reads bytes.
  /// - Throws: `UsageError` naming the file and the line.
  public init(data: Data, file: String) throws(UsageError) {
    var scanner = CSVScanner(bytes: [UInt8](data), file: file)
    guard let first = try scanner.next() else {
      throw UsageError("\(file): the file is empty; a header line is needed")
    }
    let header = first.fields
    if let twice = header.enumerated().first(where: { header[..<$0.offset].contains($0.element) }) {
      throw UsageError("\(file):1: column \(twice.element) appears twice")
    }
    var rows: [[String]] = []
    var lines: [Int] = []
    while let record = try scanner.next() {
      guard record.fields.count == header.count else {
        throw UsageError(
          "\(file):\(record.line): \(record.fields.count) fields where the header has \(header.count)")
      }
      rows.append(record.fields)
      lines.append(record.line)
    }
    (self.file, self.header, self.rows, self.lines) = (file, header, rows, lines)
    isWhole = data.last == 0x0A || data.last == 0x0D
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
    throw UsageError("\(file): no column \(column); there are \(header.joined(separator: ", "))")
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
      } else if let value = Double(text) {
        values.append(value)
      } else {
        throw UsageError("\(file):\(line): column \(column): \(text) is not a number")
      }
    }
    return values
  }

  /// A field as RFC 4180 writes it: quoted when it holds a comma, a quote or a line break.
  public static func quote(_ field: String) -> String {
    let needsQuotes = field.utf8.contains { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
    return needsQuotes ? "\"" + field.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : field
  }

  /// A line of fields with its line break.
  public static func line(_ fields: [String]) -> String {
    fields.map(quote).joined(separator: ",") + "\n"
  }
}

/// Splits bytes into records.
private struct CSVScanner {
  let bytes: [UInt8]
  let file: String
  var position: Int
  var line = 1

  init(bytes: [UInt8], file: String) {
    (self.bytes, self.file) = (bytes, file)
    position = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
  }

  /// The next record, or `nil` at the end; blank lines are skipped.
  mutating func next() throws(UsageError) -> (fields: [String], line: Int)? {
    while position < bytes.count, bytes[position] == 0x0A || bytes[position] == 0x0D { skipBreak() }
    guard position < bytes.count else { return nil }
    let start = line
    var fields: [String] = []
    while true {
      fields.append(try field())
      guard position < bytes.count else { return (fields, start) }
      if bytes[position] == 0x2C {
        position += 1
      } else {
        skipBreak()
        return (fields, start)
      }
    }
  }

  private mutating func skipBreak() {
    if bytes[position] == 0x0D, position + 1 < bytes.count, bytes[position + 1] == 0x0A { position += 1 }
    position += 1
    line += 1
  }

  private mutating func field() throws(UsageError) -> String {
    guard position < bytes.count, bytes[position] == 0x22 else {
      let start = position
      while position < bytes.count, bytes[position] != 0x2C, bytes[position] != 0x0A, bytes[position] != 0x0D
      {
        if bytes[position] == 0x22 { throw UsageError("\(file):\(line): a quote inside an unquoted field") }
        position += 1
      }
      return try text(bytes[start..<position])
    }
    let opened = line
    var content: [UInt8] = []
    position += 1
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
        if position < bytes.count, bytes[position] != 0x2C, bytes[position] != 0x0A, bytes[position] != 0x0D {
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
      throw UsageError("\(file):\(line): not UTF-8")
    }
    return text
  }
}
