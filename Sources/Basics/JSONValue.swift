/// A JSON document whose objects keep the order of their keys; numbers that JSON lacks (NaN, infinities) become null.
public enum JSONValue: Hashable, Sendable {
  /// null.
  case null
  /// true or false.
  case bool(Bool)
  /// A whole number.
  case int(Int)
  /// A real number, printed with the fewest digits that read back as the same value.
  case double(Double)
  /// Text.
  case string(String)
  /// A list.
  case array([JSONValue])
  /// An object.
  case object([Member])

  /// A key and its value.
  public struct Member: Hashable, Sendable {
    /// The key.
    public let key: String
    /// The value.
    public let value: JSONValue

    /// A member.
    public init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  /// An object from key–value pairs, in their order.
  public static func object(_ members: KeyValuePairs<String, JSONValue>) -> JSONValue {
    .object(members.map { Member(key: $0.key, value: $0.value) })
  }

  /// An optional number; `nil` is null.
  public static func number(_ value: Double?) -> JSONValue { value.map(JSONValue.double) ?? .null }
  /// An optional whole number; `nil` is null.
  public static func number(_ value: Int?) -> JSONValue { value.map(JSONValue.int) ?? .null }
  /// Optional text; `nil` is null.
  public static func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }

  /// The document with two spaces of indentation.
  public var pretty: String { render(indent: 0) }

  /// The document on one line.
  public var compact: String { render(indent: nil) }

  private func render(indent: Int?) -> String {
    switch self {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .int(let value): return "\(value)"
    case .double(let value):
      guard value.isFinite else { return "null" }
      return value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    case .string(let value): return JSONValue.quote(value)
    case .array(let items):
      return block("[", items.map { ("", $0) }, "]", indent: indent)
    case .object(let members):
      return block("{", members.map { (JSONValue.quote($0.key) + ": ", $0.value) }, "}", indent: indent)
    }
  }

  private func block(_ open: String, _ items: [(String, JSONValue)], _ close: String, indent: Int?) -> String
  {
    if items.isEmpty { return open + close }
    guard let indent else {
      return open + items.map { $0.0 + $0.1.render(indent: nil) }.joined(separator: ", ") + close
    }
    let pad = String(repeating: " ", count: indent + 2)
    let lines = items.map { pad + $0.0 + $0.1.render(indent: indent + 2) }
    return open + "\n" + lines.joined(separator: ",\n") + "\n" + String(repeating: " ", count: indent) + close
  }

  /// A string in quotes, escaped.
  public static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      case _ where scalar.value < 0x20:
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
