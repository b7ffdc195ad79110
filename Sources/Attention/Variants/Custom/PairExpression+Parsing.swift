import Basics
import Settings

extension PairExpression {
  /// Reads an expression such as `i - j < 10 || j % 3 == 0`.
  /// - Throws: `ConfigurationError` with the column of the mistake and what may be written.
  /// - Complexity: O(length).
  init(parsing text: String) throws(ConfigurationError) {
    var parser = PairExpressionParser(text)
    self = try parser.parse()
  }

  /// Text with every run of spaces and line breaks as one space: what the CSV and cell ids hold.
  static func onOneLine(_ text: String) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}

/// A recursive-descent parser over words; the one of `Formulas` reads laws over real numbers, and a library of attention
/// must not need GSL.
private struct PairExpressionParser {
  private struct Word {
    var text: Substring
    var column: Int
  }

  private let source: String
  private var words: [Word] = []
  private var place = 0
  private var depth = 0
  private var result: PairExpression

  /// An expression is walked by recursion, once a pair: its length and depth are bounded.
  private static let longest = 1_000
  private static let deepest = 50

  init(_ text: String) {
    source = text
    result = PairExpression(text: text)
  }

  mutating func parse() throws(ConfigurationError) -> PairExpression {
    try split()
    let whole = try either()
    if place < words.count { throw unexpected("an operator") }
    // The last part is the whole: parentheses make none, and chains add theirs at the end.
    precondition(whole == result.parts.count - 1, "the whole is part \(whole) of \(result.parts.count)")
    return result
  }

  private func mistake(_ column: Int, _ what: String) -> ConfigurationError {
    PairExpression.mistake(source, column: column, what)
  }

  private func unexpected(_ wanted: String) -> ConfigurationError {
    guard place < words.count else {
      return mistake(source.count + 1, "it ends where \(wanted) should stand")
    }
    return mistake(words[place].column, "\(shown(words[place].text)) where \(wanted) should stand")
  }

  // MARK: - Words

  private static let signs = [
    "//", "<=", ">=", "==", "!=", "&&", "||", "+", "-", "*", "/", "%", "<", ">", "!", "(", ")", ",",
  ]

  private mutating func split() throws(ConfigurationError) {
    guard source.utf8.count <= Self.longest else {
      throw mistake(Self.longest + 1, "it is longer than \(Self.longest) bytes")
    }
    var rest = source[...], column = 1
    func take(_ count: Int, _ rest: inout Substring, _ column: inout Int) -> Substring {
      let word = rest.prefix(count)
      rest = rest.dropFirst(count)
      column += count
      return word
    }
    while let character = rest.first {
      if character.isWhitespace {
        _ = take(1, &rest, &column)
      } else if character.isASCII, character.isLetter || character.isNumber || character == "_" {
        let length = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }.count
        let start = column
        words.append(Word(text: take(length, &rest, &column), column: start))
      } else if let sign = Self.signs.first(where: { rest.hasPrefix($0) }) {
        let start = column
        words.append(Word(text: take(sign.count, &rest, &column), column: start))
      } else {
        throw mistake(column, hint(character))
      }
    }
  }

  private func hint(_ character: Character) -> String {
    switch character {
    case "=": "a single =; to compare write =="
    case "&", "|": "a single \(character); write \(character)\(character)"
    case "^": "^ is no operator; a power is a product"
    case ".": "a point; numbers are whole"
    case "−", "–": "\(character) is no minus sign; write -"
    case "≤", "≥": "write \(character == "≤" ? "<=" : ">=") for \(character)"
    case "·", "×": "write * for \(character)"
    default: "\(shown(String(character))) means nothing"
    }
  }

  private func isAhead(_ sign: String) -> Bool { place < words.count && words[place].text == sign }

  /// Takes the first of some signs that is ahead, with its column.
  private mutating func take(_ signs: [(String, PairExpression.Operator)]) -> (
    PairExpression.Operator, Int
  )? {
    guard place < words.count, let found = signs.first(where: { $0.0 == words[place].text }) else {
      return nil
    }
    place += 1
    return (found.1, words[place - 1].column)
  }

  private mutating func expect(_ sign: String) throws(ConfigurationError) {
    guard isAhead(sign) else { throw unexpected(sign) }
    place += 1
  }

  // MARK: - Grammar

  /// Goes one level deeper; what is called goes no deeper than the stack allows.
  private mutating func deeper(
    _ parse: (inout PairExpressionParser) throws(ConfigurationError) -> Int
  ) throws(ConfigurationError) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else {
      throw mistake(words[min(place, words.count - 1)].column, "it is nested more than \(Self.deepest) deep")
    }
    return try parse(&self)
  }

  private mutating func leftToRight(
    _ signs: [(String, PairExpression.Operator)],
    _ next: (inout PairExpressionParser) throws(ConfigurationError) -> Int
  ) throws(ConfigurationError) -> Int {
    var left = try next(&self)
    while let (op, column) = take(signs) {
      let right = try next(&self)
      left = result.add(.binary(op, left, right), column: column)
    }
    return left
  }

  private mutating func either() throws(ConfigurationError) -> Int {
    try leftToRight([("||", .or)]) { p throws(ConfigurationError) in
      try p.leftToRight([("&&", .and)]) { p throws(ConfigurationError) in try p.comparison() }
    }
  }

  private static let comparisons: [(String, PairExpression.Operator)] = [
    ("<=", .lessEqual), (">=", .greaterEqual), ("==", .equal), ("!=", .notEqual), ("<", .less),
    (">", .greater),
  ]

  /// Comparisons in a row hold together: `0 <= i - j < 10`.
  private mutating func comparison() throws(ConfigurationError) -> Int {
    var left = try sum()
    var all: Int?
    while let (op, column) = take(Self.comparisons) {
      let right = try sum()
      let one = result.add(.binary(op, left, right), column: column)
      all = all.map { result.add(.binary(.and, $0, one), column: column) } ?? one
      left = right
    }
    return all ?? left
  }

  private mutating func sum() throws(ConfigurationError) -> Int {
    try leftToRight([("+", .add), ("-", .subtract)]) { p throws(ConfigurationError) in try p.product() }
  }

  private mutating func product() throws(ConfigurationError) -> Int {
    try leftToRight([("*", .multiply), ("//", .divide), ("/", .divide), ("%", .remainder)]) {
      p throws(ConfigurationError) in try p.signed()
    }
  }

  private mutating func signed() throws(ConfigurationError) -> Int {
    guard place < words.count else { throw unexpected("a value") }
    let column = words[place].column
    switch words[place].text {
    case "-":
      place += 1
      let zero = result.add(.number(0), column: column)
      let value = try deeper { p throws(ConfigurationError) in try p.signed() }
      return result.add(.binary(.subtract, zero, value), column: column)
    case "+":
      place += 1
      return try deeper { p throws(ConfigurationError) in try p.signed() }
    case "!":
      place += 1
      let value = try deeper { p throws(ConfigurationError) in try p.signed() }
      return result.add(.not(value), column: column)
    default: return try atom()
    }
  }

  private mutating func atom() throws(ConfigurationError) -> Int {
    let (text, column) = (words[place].text, words[place].column)
    if text == "(" {
      place += 1
      let inner = try deeper { p throws(ConfigurationError) in try p.either() }
      try expect(")")
      return inner
    }
    guard let first = text.first, first.isLetter || first.isNumber || first == "_" else {
      throw unexpected("a value")
    }
    place += 1
    if first.isNumber {
      guard let number = Int(text) else {
        let isLong = text.allSatisfy(\.isNumber)
        throw mistake(
          column, "\(shown(text)) is \(isLong ? "a number beyond 64 bits" : "no number; * may be missing")")
      }
      return result.add(.number(number), column: column)
    }
    if let variable = PairExpression.Variable(rawValue: String(text)) {
      if isAhead("(") { throw mistake(column, "\(text) is no function; * may be missing") }
      return result.add(.variable(variable), column: column)
    }
    return try call(text, column)
  }

  private mutating func call(_ name: Substring, _ column: Int) throws(ConfigurationError) -> Int {
    switch name {
    case "true": return result.add(.number(1), column: column)
    case "false": return result.add(.number(0), column: column)
    case "and", "or", "not":
      throw mistake(column, "write \(name == "and" ? "&&" : name == "or" ? "||" : "!") for \(name)")
    case "abs", "min", "max": break
    default:
      throw mistake(
        column,
        "\(shown(name)) is no name: \(choices(["i", "j", "h", "n", "abs", "min", "max"], near: String(name)))"
      )
    }
    try expect("(")
    var values = [try deeper { p throws(ConfigurationError) in try p.either() }]
    while isAhead(",") {
      place += 1
      values.append(try deeper { p throws(ConfigurationError) in try p.either() })
    }
    try expect(")")
    guard name != "abs" else {
      guard values.count == 1 else { throw mistake(column, "abs takes one value") }
      return result.add(.absolute(values[0]), column: column)
    }
    guard values.count >= 2 else { throw mistake(column, "\(name) takes two values or more") }
    return values.dropFirst().reduce(values[0]) {
      result.add(.binary(name == "min" ? .min : .max, $0, $1), column: column)
    }
  }
}
