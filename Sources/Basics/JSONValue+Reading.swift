/// What is wrong with a JSON text, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Whether the text is JSON all the same, of a kind that is not read: a name twice, too many levels, too large a number.
  public let isValid: Bool
  /// What is wrong.
  public let problem: String
  /// The byte at which reading stopped, from 0.
  public let position: Int

  /// One line.
  public var description: String {
    "\(isValid ? "JSON that is not read here" : "no valid JSON"): \(problem) at byte \(position)"
  }
}

extension JSONValue {
  /// Reads a text strictly: UTF-8, no name twice in an object, only white space after the value.
  /// - Parameters:
  ///   - bytes: the text.
  ///   - maximumDepth: the deepest nesting that is read.
  /// - Throws: `JSONError`.
  /// - Complexity: O(bytes).
  public init(parsing bytes: [UInt8], maximumDepth: Int = 256) throws(JSONError) {
    var scanner = JSONScanner(bytes, maximumDepth: maximumDepth)
    self = try scanner.document()
  }

  /// Reads a text strictly, as above.
  /// - Throws: `JSONError`.
  public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }

  /// The value of a key, or null.
  public subscript(key: String) -> JSONValue {
    if case .object(let members) = self { return members.first { $0.key == key }?.value ?? .null }
    return .null
  }

  /// Whether this is null, as what is missing is.
  public var isNull: Bool { self == .null }

  /// The text of a string, else `nil`.
  public var stringValue: String? { if case .string(let text) = self { text } else { nil } }

  /// The number of a number, else `nil`.
  public var numberValue: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// A number without fraction that 64 bits hold exactly, else `nil`.
  public var wholeValue: Int? {
    switch self {
    case .int(let value): value
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  /// true or false, else `nil`.
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The elements of an array; none of anything else.
  public var arrayValue: [JSONValue] { if case .array(let items) = self { items } else { [] } }

  /// The members of an object; none of anything else.
  public var members: [Member] { if case .object(let members) = self { members } else { [] } }
}
