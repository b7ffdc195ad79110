import Basics

extension ParameterValue {
  /// The value that a user's text stands for, in `--set`, in YAML and in a line of attention alike: what `CoreScalar`
  /// says, nothing as `none`, or a list of whole numbers.
  ///
  /// A number without a fraction is an `int`, however it was written: `1e3`, `1000.0` and `1000` are one value.
  ///
  /// What is almost a value (`1e999`, `[1,,2]`) is a word, and so are infinities and what is no number: a parameter that
  /// takes no words refuses it as it was typed. A list is `[1, 2]`, `[1 2]` or `1,2`.
  public init(parsing text: String) {
    let text = text.trimmed
    switch CoreScalar(text) {
    case .int(let number): self = .int(number)
    case .double(let number) where number.isFinite:
      self = Int(exactlyWhole: number).map { .int($0) } ?? .double(number)
    case .bool(let flag): self = .bool(flag)
    case .null where !text.isEmpty: self = .string("none")
    default: self = ParameterValue.list(parsing: text).map { .list($0) } ?? .string(text)
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
    let numbers = words.map { CoreScalar($0.trimmed).whole }
    return numbers.contains(nil) ? nil : numbers.compactMap(\.self)
  }
}
