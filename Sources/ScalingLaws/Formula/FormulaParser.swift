extension FormulaExpression {
  /// Reads a formula such as `E + A/N^alpha + B/D^beta`.
  ///
  /// Numbers, names, `{a name with spaces}`, `+ - * / ^ **`, brackets `( )` or `[ ]`, the functions of
  /// `Function`, `min`, `max`, `pi`; for row filters also `< <= > >= == != && || !` and text in quotes. Powers
  /// bind to the right and tighter than a sign: −x^2 is −(x^2).
  ///
  /// - Throws: `FitError` whose line names the column of the mistake.
  public init(parsing text: String) throws(FitError) {
    var parser = FormulaParser(text)
    self = try parser.parse()
  }
}

/// A recursive-descent parser over characters.
private struct FormulaParser {
  private let characters: [Character]
  private var position = 0
  private var depth = 0
  private let source: String

  init(_ text: String) {
    source = text
    characters = Array(text)
  }

  mutating func parse() throws(FitError) -> FormulaExpression {
    let expression = try either()
    skipSpace()
    if position < characters.count { throw problem("'\(characters[position])' is not expected here") }
    return expression
  }

  private func problem(_ text: String) -> FitError {
    FitError(.badFormula, "formula '\(source)', column \(position + 1): \(text)")
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
    while take("||") { left = .binary(.or, left, try both()) }
    return left
  }

  private mutating func both() throws(FitError) -> FormulaExpression {
    var left = try comparison()
    while take("&&") { left = .binary(.and, left, try comparison()) }
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
        left = .binary(.add, left, try product())
      } else if take("-") {
        left = .binary(.subtract, left, try product())
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
        left = .binary(.multiply, left, try signed())
      } else if take("/") {
        left = .binary(.divide, left, try signed())
      } else {
        return left
      }
    }
  }

  private mutating func signed() throws(FitError) -> FormulaExpression {
    if take("-") || take("−") { return .call(.negate, try signed()) }
    if take("+") { return try signed() }
    if !isAhead("!="), take("!") { return .call(.not, try signed()) }
    return try powered()
  }

  private mutating func isAhead(_ token: String) -> Bool {
    let before = position
    defer { position = before }
    return take(token)
  }

  private mutating func powered() throws(FitError) -> FormulaExpression {
    let base = try atom()
    if take("**") || take("^") { return .binary(.power, base, try signed()) }
    return base
  }

  private mutating func atom() throws(FitError) -> FormulaExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < 200 else { throw problem("brackets are nested too deeply") }
    skipSpace()
    guard position < characters.count else { throw problem("the formula ends where a value should follow") }
    let c = characters[position]
    if c == "(" || c == "[" {
      position += 1
      let inner = try either()
      guard take(c == "(" ? ")" : "]") else {
        throw problem("'\(c == "(" ? ")" : "]")' is missing")
      }
      return inner
    }
    if c.isNumber || c == "." { return try number() }
    if c == "{" { return .name(try quoted("}")) }
    if c == "'" || c == "\"" { return .text(try quoted(c)) }
    if c.isLetter || c == "_" { return try named() }
    throw problem("'\(c)' is not expected here")
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
      throw problem("'\(text)' is not a number")
    }
    if position < characters.count, characters[position].isLetter {
      throw problem("'*' is missing between '\(text)' and '\(characters[position])'")
    }
    return .number(value)
  }

  private mutating func named() throws(FitError) -> FormulaExpression {
    let start = position
    while position < characters.count,
      characters[position].isLetter || characters[position].isNumber || characters[position] == "_"
    { position += 1 }
    let name = String(characters[start..<position])
    skipSpace()
    let isCall = position < characters.count && (characters[position] == "(" || characters[position] == "[")
    guard isCall else { return name == "pi" ? .number(.pi) : .name(name) }
    let close = characters[position] == "(" ? ")" : "]"
    position += 1
    var arguments = [try either()]
    while take(",") { arguments.append(try either()) }
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
        "'\(name)' is not a function; there are \(known.joined(separator: ", ")), min, max, pow")
    }
    guard arguments.count == 1 else { throw problem("\(name) takes one value") }
    return .call(function, arguments[0])
  }
}
