import Basics

/// Reads the dictionary of a `.npy` header: the three keys that NumPy writes, each once, and nothing around them.
///
/// The grammar is that of a Python literal as far as NumPy uses it: strings in either quotes, `True` and `False`,
/// tuples of whole numbers (with Python 2's `L`), blanks between all of them, blanks and line breaks at the end.
struct NpyDictionary {
  /// NumPy's own limit.
  static let mostAxes = 64

  private let characters: [Character]
  private let path: String
  private var position = 0

  init(text: String, path: String) {
    characters = Array(text)
    self.path = path
  }

  /// The header that the dictionary describes.
  /// - Throws: `NpyError`.
  /// - Complexity: O(characters).
  mutating func header() throws(NpyError) -> NpyHeader {
    var values: [String: Value] = [:]
    guard take("{") else { throw noHeader() }
    while !take("}") {
      guard case .text(let key)? = try value(), take(":"), let value = try value() else { throw noHeader() }
      guard ["descr", "fortran_order", "shape"].contains(key), values[key] == nil else {
        throw fail(
          "the header has the key \(shown(key))\(values[key] == nil ? "" : " twice"); descr, fortran_order and shape expected"
        )
      }
      values[key] = value
      guard take(",") || next == "}" else { throw noHeader() }
    }
    skipBlanks()
    guard position == characters.count else {
      throw fail("\(characters.count - position) characters of the header stand behind its dictionary")
    }
    guard let type = values["descr"], let order = values["fortran_order"], let shape = values["shape"] else {
      throw fail(
        "the header lacks \(["descr", "fortran_order", "shape"].filter { values[$0] == nil }.joined(separator: " and "))"
      )
    }
    return try header(type, order, shape)
  }

  private func header(_ type: Value, _ order: Value, _ axes: Value) throws(NpyError) -> NpyHeader {
    guard case .text(let name) = type, let byteOrder = name.first, "<>|=".contains(byteOrder),
      let type = NpyElementType.allCases.first(where: { $0.code == name.dropFirst() })
    else { throw fail("element type \(type) is not supported; it takes \(NpyElementType.allowed)") }
    guard case .flag(let isFortranOrder) = order else {
      throw fail("fortran_order is \(order); True or False expected")
    }
    guard case .tuple(let shape) = axes else { throw fail("shape \(axes) is not a list of extents") }
    guard shape.count <= Self.mostAxes else {
      throw fail("\(shape.count) axes; NumPy's arrays have at most \(Self.mostAxes)")
    }
    return NpyHeader(type: type, isBigEndian: byteOrder == ">", isFortranOrder: isFortranOrder, shape: shape)
  }

  // MARK: - Values

  private enum Value: CustomStringConvertible {
    case text(String)
    case flag(Bool)
    case tuple([Int])
    /// What is none of these, as it stands in the file.
    case other(String)

    var description: String {
      switch self {
      case .text(let text): "'\(shown(text))'"
      case .flag(let flag): flag ? "True" : "False"
      case .tuple(let extents): "(" + extents.map { "\($0)," }.joined(separator: " ") + ")"
      case .other(let text): shown(text)
      }
    }
  }

  private var next: Character? { position < characters.count ? characters[position] : nil }

  private mutating func skipBlanks() {
    while let character = next, character == " " || character == "\n" || character == "\t" { position += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipBlanks()
    guard next == character else { return false }
    position += 1
    skipBlanks()
    return true
  }

  /// The value that begins here, up to the comma, colon or brace that ends it; `nil`: there is none.
  private mutating func value() throws(NpyError) -> Value? {
    skipBlanks()
    if let quote = next, quote == "'" || quote == "\"" { return try text(quote) }
    let start = position
    var depth = 0
    while let character = next, depth > 0 || !",:}".contains(character) {
      if "([{".contains(character) { depth += 1 }
      if ")]}".contains(character) { depth -= 1 }
      position += 1
    }
    let word = String(characters[start..<position]).trimmingBlanks
    switch word {
    case "": return nil
    case "True", "False": return .flag(word == "True")
    default: return Self.tuple(word).map(Value.tuple) ?? .other(word)
    }
  }

  private mutating func text(_ quote: Character) throws(NpyError) -> Value {
    position += 1
    guard let end = characters[position...].firstIndex(of: quote) else { throw noHeader() }
    let text = String(characters[position..<end])
    position = end + 1
    skipBlanks()
    return .text(text)
  }

  /// `()`, `(2,)` or `(2, 3)`; one number in brackets alone is no tuple.
  private static func tuple(_ word: String) -> [Int]? {
    guard word.hasPrefix("("), word.hasSuffix(")") else { return nil }
    var parts = word.dropFirst().dropLast().split(separator: ",", omittingEmptySubsequences: false)
    if parts.count == 1, parts[0].allSatisfy({ $0 == " " }) { return [] }
    guard parts.count > 1 else { return nil }
    if let last = parts.last, last.allSatisfy({ $0 == " " }) { parts.removeLast() }
    var extents: [Int] = []
    for part in parts {
      let digits = String(part).trimmingBlanks
      guard let extent = Int(digits.hasSuffix("L") ? String(digits.dropLast()) : digits), extent >= 0 else {
        return nil
      }
      extents.append(extent)
    }
    return extents
  }

  private func fail(_ problem: String) -> NpyError { NpyError(path: path, problem: problem) }

  private func noHeader() -> NpyError {
    fail("the header is not a NumPy header: \(shown(String(characters), limit: 60))")
  }
}

extension String {
  fileprivate var trimmingBlanks: String {
    var rest = self[...]
    while rest.first == " " || rest.first == "\n" { rest.removeFirst() }
    while rest.last == " " || rest.last == "\n" { rest.removeLast() }
    return String(rest)
  }
}
