import Basics
import Records

/// How a comparison is shown: which quantities, in which order, in which format.
public struct ComparisonView: Sendable {
  /// What lines are sorted by.
  public enum Order: Hashable, Sendable {
    /// The name.
    case variant
    /// A quantity, the best first.
    case metric(Metric)

    /// Reads the name of a quantity, or `variant`; `nil` of any other.
    public init?(_ name: String) {
      if name == "variant" {
        self = .variant
      } else if let metric = Metric(rawValue: name) {
        self = .metric(metric)
      } else {
        return nil
      }
    }

    /// What is allowed.
    public static let names = ["variant"] + Metric.allCases.map(\.rawValue)
  }

  /// The quantities at one length.
  public var metrics = Self.usual
  /// One quantity over all lengths instead; `nil`: the quantities at one length, and the laws.
  public var metric: Metric?
  /// What lines are sorted by; `nil`: as in the file.
  public var order: Order?
  /// The format.
  public var format = TableFormat.text

  /// The quantities that are shown when nothing else is said.
  public static let usual: [Metric] = [
    .time, .spread, .peak, .memory, .process, .predicted, .error, .kept, .speedup,
  ]

  /// All that matters, as text.
  public init() {}
}
