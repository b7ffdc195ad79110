import Basics

/// JSON as a safetensors header uses it, read strictly: Foundation's decoder would accept a name that stands twice and
/// keep either value.
enum HeaderJSON: Equatable {
  case object([(String, HeaderJSON)])
  case array([HeaderJSON])
  case string(String)
  case whole(Int)

  static func == (a: HeaderJSON, b: HeaderJSON) -> Bool {
    switch (a, b) {
    case (.object(let x), .object(let y)):
      x.count == y.count && zip(x, y).allSatisfy { $0.0 == $1.0 && $0.1 == $1.1 }
    case (.array(let x), .array(let y)): x == y
    case (.string(let x), .string(let y)): x == y
    case (.whole(let x), .whole(let y)): x == y
    default: false
    }
  }

  /// The numbers of an array of whole numbers.
  var wholeNumbers: [Int]? {
    guard case .array(let items) = self else { return nil }
    var numbers: [Int] = []
    for item in items {
      guard case .whole(let number) = item else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// Parses a whole text; only spaces may follow the value.
  init(parsing bytes: [UInt8]) throws(HeaderJSONError) {
    var scanner = HeaderScanner(bytes: bytes)
    self = try scanner.value(depth: 0)
    scanner.skipSpace()
    guard scanner.position == bytes.count else { throw scanner.error("text after the value") }
  }

  /// A string in quotes, escaped.
  static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// What is wrong with a header's text, and where.
struct HeaderJSONError: Error {
  let problem: String
  let position: Int
}

private struct HeaderScanner {
  let bytes: [UInt8]
  var position = 0

  func error(_ problem: String) -> HeaderJSONError { HeaderJSONError(problem: problem, position: position) }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func value(depth: Int) throws(HeaderJSONError) -> HeaderJSON {
    guard depth < 8 else { throw error("values nested too deeply") }
    skipSpace()
    if take("{") {
      var members: [(String, HeaderJSON)] = []
      var names: Set<String> = []
      guard !take("}") else { return .object([]) }
      repeat {
        skipSpace()
        let name = try string()
        guard names.insert(name).inserted else { throw error("the name \(name) a second time") }
        guard take(":") else { throw error("no colon after \(name)") }
        members.append((name, try value(depth: depth + 1)))
      } while take(",")
      guard take("}") else { throw error("no comma or closing brace") }
      return .object(members)
    }
    if take("[") {
      var items: [HeaderJSON] = []
      guard !take("]") else { return .array([]) }
      repeat { items.append(try value(depth: depth + 1)) } while take(",")
      guard take("]") else { throw error("no comma or closing bracket") }
      return .array(items)
    }
    return next == UInt8(ascii: "\"") ? .string(try string()) : .whole(try whole())
  }

  mutating func whole() throws(HeaderJSONError) -> Int {
    let start = position
    while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
    guard let number = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else {
      throw error("no whole number of at least 0")
    }
    return number
  }

  mutating func string() throws(HeaderJSONError) -> String {
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

  private mutating func escape() throws(HeaderJSONError) -> Character {
    guard let byte = next else { throw error("a string without end") }
    position += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Character(Unicode.Scalar(byte))
    case UInt8(ascii: "u"):
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
      return Character(scalar)
    default: throw error("an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(HeaderJSONError) -> UInt32 {
    let digits = bytes[position..<min(position + 4, bytes.count)]
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw error("no four hexadecimal digits") }
    position += 4
    return code
  }
}
