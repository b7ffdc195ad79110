/// A strict reader of JSON (RFC 8259): UTF-8, no name twice in an object, nothing after the value.
///
/// Foundation's readers accept a name that stands twice and keep either value; what a file says must not depend on that.
struct JSONScanner {
  private let bytes: [UInt8]
  private(set) var position = 0
  /// The deepest nesting that is read: the stack's bound, far above what any file of ours has.
  private let maximumDepth: Int

  init(_ bytes: [UInt8], maximumDepth: Int) {
    self.bytes = bytes
    self.maximumDepth = maximumDepth
  }

  /// The only value of the text.
  mutating func document() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw error("text after the value") }
    return value
  }

  private func error(_ problem: String, isValid: Bool = false) -> JSONError {
    JSONError(isValid: isValid, problem: problem, position: position)
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < maximumDepth else { throw error("more than \(maximumDepth) levels", isValid: true) }
    if take("{") { return .object(try members(depth: depth)) }
    if take("[") { return .array(try items(depth: depth)) }
    switch next {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func members(depth: Int) throws(JSONError) -> [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    var names: Set<String> = []
    guard !take("}") else { return [] }
    repeat {
      skipSpace()
      let name = try string()
      guard names.insert(name).inserted else {
        throw error("the name \(shown(name)) a second time", isValid: true)
      }
      guard take(":") else { throw error("no colon after \(shown(name))") }
      members.append(.init(key: name, value: try value(depth: depth + 1)))
    } while take(",")
    guard take("}") else { throw error("no comma or closing brace") }
    return members
  }

  private mutating func items(depth: Int) throws(JSONError) -> [JSONValue] {
    var items: [JSONValue] = []
    guard !take("]") else { return [] }
    repeat { items.append(try value(depth: depth + 1)) } while take(",")
    guard take("]") else { throw error("no comma or closing bracket") }
    return items
  }

  private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
    guard bytes[position...].starts(with: text.utf8) else { throw error("no value") }
    position += text.utf8.count
    return value
  }

  /// A whole number without fraction and exponent that 64 bits hold is an `int`, every other number a `double`.
  private mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    if next == UInt8(ascii: "-") { position += 1 }
    let leadingZero = next == UInt8(ascii: "0")
    let whole = digits()
    guard whole > 0, !leadingZero || whole == 1 else {
      position = start
      throw error("no value")
    }
    var isWhole = true
    if next == UInt8(ascii: ".") {
      position += 1
      isWhole = false
      guard digits() > 0 else { throw error("no digit after the point") }
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      position += 1
      isWhole = false
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
      guard digits() > 0 else { throw error("no digit in the exponent") }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isWhole, let number = Int(text) { return .int(number) }
    guard let number = Double(text), number.isFinite else {
      throw error("the number \(text.prefix(30)) is beyond double precision", isValid: true)
    }
    return .double(number)
  }

  private mutating func digits() -> Int {
    let start = position
    while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
    return position - start
  }

  private mutating func string() throws(JSONError) -> String {
    guard next == UInt8(ascii: "\"") else { throw error("no string") }
    position += 1
    var text: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else {
          throw error("a string that is no UTF-8")
        }
        return string
      case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
      case 0..<0x20: throw error("a control character in a string")
      default: text.append(byte)
      }
    }
    throw error("a string without end")
  }

  private mutating func escape() throws(JSONError) -> Character {
    guard let byte = next else { throw error("a string without end") }
    position += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Character(Unicode.Scalar(byte))
    case UInt8(ascii: "u"): return Character(try scalar())
    default: throw error("an unknown escape")
    }
  }

  /// The character of `\uXXXX`, or of a surrogate pair of two such.
  private mutating func scalar() throws(JSONError) -> Unicode.Scalar {
    var code = try hexadecimal()
    if (0xD800..<0xDC00).contains(code) {
      guard next == UInt8(ascii: "\\") else { throw error("half a surrogate pair") }
      position += 1
      guard next == UInt8(ascii: "u") else { throw error("half a surrogate pair") }
      position += 1
      let low = try hexadecimal()
      guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
      code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
    return scalar
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    let digits = bytes[position..<min(position + 4, bytes.count)]
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw error("no four hexadecimal digits") }
    position += 4
    return code
  }
}
