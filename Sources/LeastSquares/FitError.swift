/// Why a fit was refused; the description is one line that says what is wrong and what is allowed.
public struct FitError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kinds of refusal.
  public enum Kind: String, Sendable {
    /// Columns, weights or values that cannot be fitted.
    case badData = "bad-data"
    /// A formula that cannot be read.
    case badFormula = "bad-formula"
    /// A form, option or parameter name that does not exist or does not go with the others.
    case badOption = "bad-option"
    /// Fewer rows than parameters plus two.
    case tooFewRows = "too-few-rows"
    /// No start led to a finite value.
    case noSolution = "no-solution"
  }
  /// What kind of refusal.
  public let kind: Kind
  /// One line for people.
  public let description: String

  /// A refusal with its line.
  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}

/// Something a reader of the fit must know; `code` is stable, `text` is for people.
public struct FitWarning: Sendable, Equatable, Codable {
  /// A stable short name such as `at-bound`.
  public let code: String
  /// One sentence.
  public let text: String

  /// A warning with its code and sentence.
  public init(code: String, text: String) {
    self.code = code
    self.text = text
  }
}
