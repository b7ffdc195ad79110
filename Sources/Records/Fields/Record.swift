import Basics
import Foundation

/// A row of a table, or anything else whose fields are declared: typed values in Swift, columns in a CSV, keys in JSON.
public protocol Record: Sendable {
  /// A row without any value.
  init()
  /// The declared fields, in the order of the columns; new ones are added at the end.
  static var schema: [Field<Self>] { get }
  /// Whether what the row says of itself is that all went well; some fields are needed only then.
  var isDone: Bool { get }
}

extension Record {
  /// The columns, in their order.
  public static var columns: [String] { schema.map(\.name) }

  /// The fields that tell rows apart.
  package static var identity: [Field<Self>] { schema.filter(\.role.isIdentity) }

  /// It says nothing of the kind.
  public var isDone: Bool { false }

  /// The fields as a CSV writes them, in the order of the columns; an absent value is an empty field.
  public var fields: [String] { Self.schema.map { $0.text(self) } }

  /// One object whose keys are the columns.
  public var json: JSONValue {
    .object(Self.schema.map { JSONValue.Member(key: $0.name, value: $0.get(self)) })
  }

  /// The value of a column; null for a column that does not exist.
  public func value(_ column: String) -> JSONValue {
    Self.schema.first { $0.name == column }?.get(self) ?? .null
  }

  /// The value of a column as text; empty when there is none.
  public subscript(column: String) -> String {
    Self.schema.first { $0.name == column }?.text(self) ?? ""
  }

  /// Reads named fields; columns that are missing keep their defaults, columns that are not ours are ignored.
  /// - Throws: `UsageError` with the place, the column, the value and what is allowed.
  public init(_ field: (String) -> String?, place: String) throws(UsageError) {
    self.init()
    var empty: [Field<Self>] = []
    for column in Self.schema {
      guard let text = field(column.name) else { continue }
      if text.isEmpty {
        empty.append(column)
      } else if let allowed = column.set(&self, text) {
        throw UsageError("\(place): column \(column.name): \(shown(text)) is not \(allowed)")
      }
    }
    if let missing = needed(of: empty) {
      throw UsageError("\(place): column \(missing.name): the cell is empty; it takes \(missing.allowed)")
    }
  }

  /// The first of some fields without a value that the row needs.
  private func needed(of fields: [Field<Self>]) -> Field<Self>? {
    fields.first { $0.need == .always || ($0.need == .whenDone && isDone) }
  }

  /// Reads an object whose keys are the columns; keys that are not ours are ignored. A program of this version wrote it,
  /// so a needed key that is missing is refused as one without a value is.
  /// - Throws: `UsageError` with the place, the key, the value and what is allowed.
  public init(json: JSONValue, place: String) throws(UsageError) {
    self.init()
    var empty: [Field<Self>] = []
    for column in Self.schema {
      let value = json[column.name]
      if value == .null || value == .string("") {
        empty.append(column)
      } else if let allowed = column.setJSON(&self, value) {
        throw UsageError("\(place): \(column.name): \(shown(value.compact)) is not \(allowed)")
      }
    }
    if let missing = needed(of: empty) {
      throw UsageError("\(place): \(missing.name): there is no value; it takes \(missing.allowed)")
    }
  }

  /// Reads all rows of a table.
  /// - Throws: `UsageError` with file, line and column.
  package static func rows(of table: CSVTable) throws(UsageError) -> [Self] {
    let positions = Dictionary(table.header.enumerated().map { ($1, $0) }) { first, _ in first }
    var rows: [Self] = []
    rows.reserveCapacity(table.rows.count)
    for (row, line) in zip(table.rows, table.lines) {
      rows.append(try Self({ positions[$0].map { row[$0] } }, place: "\(table.file):\(line)"))
    }
    return rows
  }
}

extension JSONValue {
  /// Reads JSON text.
  /// - Throws: `UsageError` that names the file.
  public init(parsing text: String, file: String) throws(UsageError) {
    do throws(JSONError) { try self.init(parsing: text) } catch { throw UsageError("\(file): \(error)") }
  }

  /// Reads one object.
  /// - Throws: `UsageError` when the text is none.
  package static func object(decoding text: String, place: String) throws(UsageError) -> JSONValue {
    let value = try JSONValue(parsing: text, file: place)
    guard case .object = value else { throw UsageError("\(place): no JSON object") }
    return value
  }
}
