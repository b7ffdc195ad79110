import Basics
import LeastSquares

/// How texts of a user become columns: one rule for every option that names a quantity of a table.
///
/// A text that stands literally in the header is that column, in a longer formula, too. A name in braces is a column or a mistake.
/// Everything else is a formula over columns. So a column `train/loss` is no quotient and a column `pi` no constant.
extension FormulaExpression {
  /// The quantity that a text names.
  ///
  /// - Throws: `FitError`: a formula that cannot be read, a text in quotes, or a name that is no column, with the
  ///   nearest one.
  public init(resolving text: String, columns: [String]) throws(FitError) {
    if let column = columns.column(named: text) {
      self = .name(column)
      return
    }
    // A text that is one name, if an unusual one, is told what columns there are rather than what a formula is.
    let expression: FormulaExpression
    do {
      expression = try FormulaExpression(parsing: text, columns: columns)
    } catch {
      guard !text.contains(where: { "()[]{}*/^+-<>=!&|'\"".contains($0) }) else { throw error }
      throw FitError(.badOption, columns.complaint(about: text))
    }
    try expression.check(columns)
    guard !expression.hasText else {
      throw FitError(.badFormula, "formula '\(shown(text))': a text in quotes is no number")
    }
    guard !expression.names.isEmpty else {
      throw FitError(.badFormula, "formula '\(shown(text))': it names no column")
    }
    self = expression
  }

  /// The filter of rows that a text stands for: a column that is not 0, or a formula with comparisons.
  ///
  /// - Throws: `FitError` as above; a text in quotes stands beside a name and `==` or `!=`.
  public init(filtering text: String, columns: [String]) throws(FitError) {
    if let column = columns.column(named: text) {
      self = .name(column)
      return
    }
    let filter = try FormulaExpression(parsing: text, columns: columns)
    try filter.check(columns)
    guard !filter.hasMisplacedText else {
      throw FitError(
        .badFormula,
        "formula '\(shown(text))': a text in quotes is compared with a column, by == or !=")
    }
    self = filter
  }

  /// Every name must be a column.
  private func check(_ columns: [String]) throws(FitError) {
    let known = Set(columns)
    guard let unknown = names.first(where: { !known.contains($0) }) else { return }
    throw FitError(.badOption, columns.complaint(about: unknown))
  }

  /// Whether a text in quotes occurs.
  private var hasText: Bool {
    switch self {
    case .text: true
    case .number, .name: false
    case .call(_, let a): a.hasText
    case .binary(_, let a, let b): a.hasText || b.hasText
    }
  }

  /// Whether a text in quotes stands anywhere but beside a name and an equality.
  private var hasMisplacedText: Bool {
    switch self {
    case .text: true
    case .number, .name: false
    case .call(_, let a): a.hasMisplacedText
    case .binary(.equal, .name, .text), .binary(.equal, .text, .name), .binary(.notEqual, .name, .text),
      .binary(.notEqual, .text, .name):
      false
    case .binary(_, let a, let b): a.hasMisplacedText || b.hasMisplacedText
    }
  }

  /// The parts around the first single `=` outside braces and quotes; the left one is nil when there is none.
  public static func sides(of text: String) -> (left: String?, right: String) {
    let characters = Array(text)
    var closing: Character?
    for k in characters.indices {
      let c = characters[k]
      if let end = closing {
        if c == end { closing = nil }
        continue
      }
      if c == "{" { closing = "}" }
      if c == "'" || c == "\"" { closing = c }
      guard c == "=" else { continue }
      let before = k > 0 ? characters[k - 1] : " "
      let after = k + 1 < characters.count ? characters[k + 1] : " "
      if after == "=" || "<>=!".contains(before) { continue }
      return (String(characters[..<k]), String(characters[(k + 1)...]))
    }
    return (nil, text)
  }
}

extension [String] {
  /// The column of a name as it stands, or as it stands but for spaces around it.
  public func column(named text: String) -> String? {
    if contains(text) { return text }
    let plain = text.trimmed
    return contains(plain) ? plain : nil
  }

  /// What is wrong with a name that is none of these columns.
  func complaint(about name: String) -> String {
    "no column \(shown(name)); there are \(choices(self, near: name, limit: 20))"
  }

  /// The names in a list with commas between.
  ///
  /// A column whose name holds a comma is that column; commas in brackets, braces and quotes separate nothing.
  public func split(list text: String) -> [String] {
    var parts: [String] = []
    var part = ""
    var open: [Character] = []
    for c in text {
      if let last = open.last, c == last {
        open.removeLast()
      } else if open.last.map({ "}'\"".contains($0) }) == true {
        // Nothing but its own end closes a name in braces or a text in quotes.
      } else if let end = (["(": ")", "[": "]", "{": "}", "'": "'", "\"": "\""] as [Character: Character])[c]
      {
        open.append(end)
      }
      if c == ",", open.isEmpty {
        parts.append(part)
        part = ""
      } else {
        part.append(c)
      }
    }
    parts.append(part)
    // The longest run of parts that is one column.
    var found: [String] = []
    var next = 0
    while next < parts.count {
      let runs = (1...Swift.min(parts.count - next, 8)).map {
        parts[next..<(next + $0)].joined(separator: ",").trimmed
      }
      let taken = runs.indices.last { contains(runs[$0]) } ?? 0
      if !runs[taken].isEmpty { found.append(runs[taken]) }
      next += taken + 1
    }
    return found
  }
}
