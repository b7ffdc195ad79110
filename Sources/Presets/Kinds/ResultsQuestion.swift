import AttentionCore
import Basics
import Figures
import Records

/// What `attnlab compare` and `attnlab plot` ask of results. A kind of experiment says which parts make sense for its rows;
/// the commands refuse the others.
public struct ResultsQuestion: Sendable {
  /// A part of a question, named as its flag.
  public enum Part: String, CaseIterable, Sendable {
    /// What others are measured by.
    case baseline
    /// One quantity.
    case metric
    /// One pass.
    case pass
    /// One length.
    case n
    /// An earlier run, row by row.
    case against
    /// With `against`: how much worse is too much.
    case failAbove = "fail-above"
    /// A picture of a comparison.
    case plot
    /// The order of lines.
    case sort
    /// The quantities that are shown.
    case columns
    /// How tables are written.
    case format
    /// Two quantities, and what is best in one for each value of the other.
    case pareto
  }

  /// The variant that others are measured by.
  public var baseline = Self.baselines
  /// One quantity; `nil`: those that matter.
  public var metric: Metric?
  /// One pass; `nil`: all.
  public var pass: PassKind?
  /// One length; `nil`: the largest that most reached.
  public var length: Int?
  /// What lines are sorted by; `nil`: as in the file.
  public var sort: String?
  /// The quantities that are shown; `nil`: those that matter.
  public var columns: [Metric]?
  /// How tables are written.
  public var format = TableFormat.text
  /// Two quantities or columns, upwards and across; `nil`: no such view.
  public var pareto: [String]?

  /// What others are measured by when nothing else is said.
  public static let baselines = "full"

  /// A question without any part.
  public init() {}

  /// The parts that are not as they are without a word of the user.
  public var parts: [Part] {
    let given: [(Part, Bool)] = [
      (.baseline, baseline != Self.baselines), (.metric, metric != nil), (.pass, pass != nil),
      (.n, length != nil), (.sort, sort != nil), (.columns, columns != nil), (.format, format != .text),
      (.pareto, pareto != nil),
    ]
    return given.filter(\.1).map(\.0)
  }
}

/// What results say.
public struct ResultsAnswer: Sendable {
  /// For people.
  public let text: String
  /// The same for programs.
  public let json: JSONValue
  /// What is drawn of it; `nil`: nothing.
  public let figure: Figure?
  /// Of two runs: what is worse by more than a factor.
  public let failures: @Sendable (_ factor: Double) -> [String]

  /// Creates an answer.
  public init(
    text: String, json: JSONValue, figure: Figure? = nil,
    failures: @escaping @Sendable (_ factor: Double) -> [String] = { _ in [] }
  ) {
    (self.text, self.json, self.figure, self.failures) = (text, json, figure, failures)
  }
}
