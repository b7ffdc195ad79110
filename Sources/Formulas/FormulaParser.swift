import Basics
import LeastSquares

extension FormulaExpression {
  /// Reads a formula such as `E + A/N^alpha + B/D^beta`.
  ///
  /// Numbers, names, `{a name with spaces}`, `+ - * / ^ **`, brackets `( )` or `[ ]`, the functions of
  /// `Function`, `min`, `max`, `pi`; for row filters also `< <= > >= == != && || !` and text in quotes. Powers
  /// bind to the right and tighter than a sign: −x^2 is −(x^2).
  ///
  /// - Parameters:
  ///   - text: the formula.
  ///   - columns: the columns of the data, when there are any. A name in braces is one of them or a mistake. What stands in the
  ///     formula as it stands in the header is that column, the longest first: `train/loss`, `Seq Len`, `pi`.
  /// - Throws: `FitError` whose line names the column of the mistake.
  public init(parsing text: String, columns: [String]? = nil) throws(FitError) {
    var parser = try FormulaParser(text, columns: columns)
    self = try parser.parse()
  }
}

/// A recursive-descent parser over characters.
private struct FormulaParser {
  private let characters: [Character]
  private var position = 0
  private var depth = 0
  private var parts = 0
  private let source: String
  private let columns: [String]?
  /// Columns whose names a formula would take apart, the longest first.
  private let unusual: [[Character]]

  /// A formula is walked by recursion, on threads whose stacks are small, so its size and depth are bounded.
  private static let longest = 10_000
  private static let deepest = 50
  private static let mostParts = 1_000

  init(_ text: String, columns: [String]?) throws(FitError) {
    guard text.utf8.count <= Self.longest else {
      throw FitError(
        .badFormula,
        "formula '\(shown(text))': it is longer than \(Self.longest) bytes")
    }
    source = text
    characters = Array(text)
    self.columns = columns
    unusual = (columns ?? []).map(Array.init)
      .filter { name in
        name.first.map { $0.isLetter || $0 == "_" } == true && name.contains { !Self.belongsToName($0) }
      }
      .sorted { $0.count > $1.count }
  }

  private static func belongsToName(_ c: Character) -> Bool { c.isLetter || c.isNumber || c == "_" }

  mutating func parse() throws(FitError) -> FormulaExpression {
    let expression = try either()
    skipSpace()
    if position < characters.count {
      throw problem("'\(visible(String(characters[position])))' is not expected here")
    }
    return expression
  }

  private func problem(_ text: String) -> FitError {
    FitError(.badFormula, "formula '\(shown(source))', column \(position + 1): \(text)")
  }

  /// Goes one level deeper; what is called goes no deeper than the stack allows.
  private mutating func deeper(
    _ parse: (inout FormulaParser) throws(FitError) -> FormulaExpression
  ) throws(FitError) -> FormulaExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw problem("the formula is nested too deeply") }
    return try parse(&self)
  }

  /// Counts a part of the formula.
  private mutating func made(_ part: FormulaExpression) throws(FitError) -> FormulaExpression {
    parts += 1
    guard parts <= Self.mostParts else {
      throw problem("the formula has more than \(Self.mostParts) parts")
    }
    return part
  }

  private mutating func skipSpace() {
    while position < characters.count, characters[position].isWhitespace { position += 1 }
  }

  private mutating func take(_ token: String) -> Bool {
    skipSpace()
    let wanted = Array(token)
    guard position + wanted.count <= characters.count,
      Array(characters[position..<(position + wanted.count)]) == wanted
    else { return false }
    position += wanted.count
    return true
  }

  private mutating func either() throws(FitError) -> FormulaExpression {
    var left = try both()
    while take("||") { left = try made(.binary(.or, left, try both())) }
    return left
  }

  private mutating func both() throws(FitError) -> FormulaExpression {
    var left = try comparison()
    while take("&&") { left = try made(.binary(.and, left, try comparison())) }
    return left
  }

  private mutating func comparison() throws(FitError) -> FormulaExpression {
    let left = try sum()
    for op in [FormulaExpression.Operator.lessEqual, .greaterEqual, .equal, .notEqual, .less, .greater]
    where take(op.rawValue) {
      return .binary(op, left, try sum())
    }
    if take("=") {
      throw problem("a single '=' is allowed once, between the response and the law; to compare write '=='")
    }
    return left
  }

  private mutating func sum() throws(FitError) -> FormulaExpression {
    var left = try product()
    while true {
      if take("+") {
        left = try made(.binary(.add, left, try product()))
      } else if take("-") {
        left = try made(.binary(.subtract, left, try product()))
      } else {
        return left
      }
    }
  }

  private mutating func product() throws(FitError) -> FormulaExpression {
    var left = try signed()
    while true {
      skipSpace()
      if position + 1 < characters.count, characters[position] == "*", characters[position + 1] == "*" {
        return left
      }
      if take("*") || take("·") {
        left = try made(.binary(.multiply, left, try signed()))
      } else if take("/") {
        left = try made(.binary(.divide, left, try signed()))
      } else {
        return left
      }
    }
  }

  private mutating func signed() throws(FitError) -> FormulaExpression {
    if take("-") || take("−") { return .call(.negate, try deeper { p throws(FitError) in try p.signed() }) }
    if take("+") { return try deeper { p throws(FitError) in try p.signed() } }
    if !isAhead("!="), take("!") { return .call(.not, try deeper { p throws(FitError) in try p.signed() }) }
    return try powered()
  }

  private mutating func isAhead(_ token: String) -> Bool {
    let before = position
    defer { position = before }
    return take(token)
  }

  private mutating func powered() throws(FitError) -> FormulaExpression {
    let base = try atom()
    if take("**") || take("^") {
      return try made(.binary(.power, base, try deeper { p throws(FitError) in try p.signed() }))
    }
    return base
  }

  private mutating func atom() throws(FitError) -> FormulaExpression {
    skipSpace()
    guard position < characters.count else { throw problem("the formula ends where a value should follow") }
    let c = characters[position]
    if c == "(" || c == "[" {
      position += 1
      let inner = try deeper { p throws(FitError) in try p.either() }
      guard take(c == "(" ? ")" : "]") else {
        throw problem("'\(c == "(" ? ")" : "]")' is missing")
      }
      return inner
    }
    if c.isNumber || c == "." { return try number() }
    if c == "{" { return .name(try literal()) }
    if c == "'" || c == "\"" { return .text(try quoted(c)) }
    if let column = takeColumn() { return .name(column) }
    if c.isLetter || c == "_" { return try named() }
    throw problem("'\(visible(String(c)))' is not expected here")
  }

  /// The column whose name stands here as in the header and ends here: `train/loss < 3` is no quotient where there is a column
  /// `train/loss`. Of several the longest.
  private mutating func takeColumn() -> String? {
    let found = unusual.first { name in
      let end = position + name.count
      guard characters.dropFirst(position).starts(with: name) else { return false }
      return end == characters.count
        || !(Self.belongsToName(characters[end]) || "([".contains(characters[end]))
    }
    guard let found else { return nil }
    position += found.count
    return String(found)
  }

  /// The column in braces, spaces and all.
  private mutating func literal() throws(FitError) -> String {
    let start = position
    let name = try quoted("}")
    guard let columns else { return name }
    if let column = columns.column(named: name) { return column }
    position = start
    throw problem("\(columns.complaint(about: name)): braces hold the name of a column")
  }

  private mutating func quoted(_ end: Character) throws(FitError) -> String {
    position += 1
    let start = position
    while position < characters.count, characters[position] != end { position += 1 }
    guard position < characters.count else { throw problem("'\(end)' is missing") }
    defer { position += 1 }
    return String(characters[start..<position])
  }

  private mutating func number() throws(FitError) -> FormulaExpression {
    let start = position
    func isDigit(_ k: Int) -> Bool { k < characters.count && characters[k].isASCII && characters[k].isNumber }
    while isDigit(position) || (position < characters.count && characters[position] == ".") { position += 1 }
    if position < characters.count, characters[position] == "e" || characters[position] == "E" {
      var next = position + 1
      if next < characters.count, characters[next] == "+" || characters[next] == "-" { next += 1 }
      if isDigit(next) {
        position = next
        while isDigit(position) { position += 1 }
      }
    }
    let text = String(characters[start..<position])
    guard let value = Double(text) else {
      position = start
      throw problem("'\(shown(text))' is not a number")
    }
    if position < characters.count, characters[position].isLetter {
      throw problem("'*' is missing between '\(shown(text))' and '\(visible(String(characters[position])))'")
    }
    return .number(value)
  }

  private mutating func named() throws(FitError) -> FormulaExpression {
    let start = position
    while position < characters.count, Self.belongsToName(characters[position]) { position += 1 }
    let name = String(characters[start..<position])
    skipSpace()
    let isCall = position < characters.count && (characters[position] == "(" || characters[position] == "[")
    guard isCall else {
      let isConstant = name == "pi" && columns?.contains(name) != true
      return isConstant ? .number(.pi) : .name(name)
    }
    let close = characters[position] == "(" ? ")" : "]"
    position += 1
    var arguments = [try deeper { p throws(FitError) in try p.either() }]
    while take(",") { arguments.append(try deeper { p throws(FitError) in try p.either() }) }
    guard take(close) else { throw problem("'\(close)' is missing") }
    let pairs: [String: FormulaExpression.Operator] = ["min": .min, "max": .max, "pow": .power]
    if let op = pairs[name] {
      guard arguments.count == 2 else { throw problem("\(name) takes two values") }
      return .binary(op, arguments[0], arguments[1])
    }
    let others: [String: FormulaExpression.Function] = ["ln": .log, "arctan": .atan]
    let function = others[name] ?? FormulaExpression.Function(rawValue: name)
    guard let function else {
      position = start
      let known = FormulaExpression.Function.allCases.map(\.rawValue).filter { $0 != "-" && $0 != "!" }
      throw problem(
        "'\(shown(name))' is not a function; there are \(known.joined(separator: ", ")), min, max, pow")
    }
    guard arguments.count == 1 else { throw problem("\(name) takes one value") }
    return .call(function, arguments[0])
  }
}
