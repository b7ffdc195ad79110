import Basics

extension ParameterValue {
  /// The value that a user's text stands for, in `--set` and in a line of attention alike: a whole number, a finite
  /// number, `true` or `false`, a list of whole numbers, else a word.
  ///
  /// What is almost a value (`1e999`, `[1,,2]`) is a word: a parameter that takes no words refuses it as it was typed.
  /// A list is `[1, 2]`, `[1 2]` or `1,2`.
  public init(parsing text: String) {
    let text = text.trimmed
    if let number = Int(text) {
      self = .int(number)
    } else if let number = Double(text), number.isFinite {
      self = .double(number)
    } else if text == "true" || text == "false" {
      self = .bool(text == "true")
    } else if let list = ParameterValue.list(parsing: text) {
      self = .list(list)
    } else {
      self = .string(text)
    }
  }

  private static func list(parsing text: String) -> [Int]? {
    let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
    guard isBracketed || text.contains(",") else { return nil }
    let inner = isBracketed ? String(text.dropFirst().dropLast()) : text
    if inner.trimmed.isEmpty { return [] }
    // Within brackets spaces will do, as in a line of attention.
    let words =
      isBracketed && !inner.contains(",")
      ? inner.split(whereSeparator: \.isWhitespace)
      : inner.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = words.map { Int(String($0).trimmed) }
    return numbers.contains(nil) ? nil : numbers.compactMap(\.self)
  }
}
