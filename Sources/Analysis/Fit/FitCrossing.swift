import Basics
import ScalingLaws

/// Where the curves of two groups meet.
public struct FitCrossing: Sendable {
  /// The first group.
  public let first: String
  /// The second group.
  public let second: String
  /// The meeting point.
  public let crossover: Crossover

  /// All pairs of groups that meet, in the order of the groups; one point a pair, the one nearest to the data. Curves
  /// of two machines are not set beside each other.
  public static func all(_ records: [FitRecord]) -> [FitCrossing] {
    var found: [FitCrossing] = []
    for (k, a) in records.enumerated() {
      for b in records.dropFirst(k + 1) where a.machine == b.machine {
        guard let meeting = ScalingLaws.crossover(of: a.fit, and: b.fit) else { continue }
        found.append(FitCrossing(first: a.group ?? "", second: b.group ?? "", crossover: meeting))
      }
    }
    return found
  }

  /// The object of `attnlab fit --crossovers --json`.
  public var json: JSONValue {
    .object([
      "first": .string(first), "second": .string(second), "at": .double(crossover.x),
      "low": .number(crossover.low), "high": .number(crossover.high),
      "lower_above": .string(crossover.firstIsLowerAbove ? first : second),
      "extrapolation": .double(crossover.extrapolation),
    ])
  }
}
