import Basics
import Foundation

/// A row of a table, or anything else whose fields are declared: typed values in Swift, columns in a CSV, keys in JSON.
public protocol Record: Sendable {
  /// A row without any value.
  init()
  /// The declared fields, in the order of the columns; new ones are added at the end.
  static var schema: [Field<Self>] { get }
  /// Says what no single field can: that a row which is done has a time.
  /// - Returns: the column and what is wrong; `nil`: nothing is.
  var objection: (column: String, text: String)? { get }
}

extension Record {
  /// The columns, in their order.
  public static var columns: [String] { schema.map(\.name) }

  /// The fields that tell rows apart.
  static var identity: [Field<Self>] { schema.filter(\.role.isIdentity) }

  /// Nothing is wrong.
  public var objection: (column: String, text: String)? { nil }

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

  /// Reads named fields; columns that are missing stay empty, columns that are not ours are ignored.
  /// - Throws: `UsageError` with the place, the column, the value and what is allowed.
  public init(_ field: (String) -> String?, place: String) throws(UsageError) {
    self.init()
    for column in Self.schema {
      guard let text = field(column.name), !text.isEmpty else { continue }
      if let allowed = column.set(&self, text) {
        throw UsageError("\(place): column \(column.name): \(shown(text)) is not \(allowed)")
      }
    }
    if let objection { throw UsageError("\(place): column \(objection.column): \(objection.text)") }
  }

  /// Reads an object whose keys are the columns; keys that are not ours are ignored.
  /// - Throws: `UsageError` with the place, the key, the value and what is allowed.
  public init(json: JSONValue, place: String) throws(UsageError) {
    self.init()
    for column in Self.schema {
      let value = json[column.name]
      guard value != .null else { continue }
      if let allowed = column.setJSON(&self, value) {
        throw UsageError("\(place): \(column.name): \(shown(value.compact)) is not \(allowed)")
      }
    }
    if let objection { throw UsageError("\(place): \(objection.column): \(objection.text)") }
  }

  /// Reads all rows of a table.
  /// - Throws: `UsageError` with file, line and column.
  static func rows(of table: CSVTable) throws(UsageError) -> [Self] {
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
  /// Reads one object.
  /// - Throws: `UsageError` when the text is none.
  static func object(decoding text: String, place: String) throws(UsageError) -> JSONValue {
    let value = try JSONValue(parsing: text, file: place)
    guard case .object = value else { throw UsageError("\(place): no JSON object") }
    return value
  }
}
