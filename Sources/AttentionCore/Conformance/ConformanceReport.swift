import Basics

/// One thing that a variant was put through.
public struct ConformanceCheck: Hashable, Sendable, CustomStringConvertible {
  /// How it went.
  public enum Verdict: String, Hashable, Sendable {
    /// The error is within its bound.
    case passed
    /// It is not, or the variant threw.
    case failed
    /// The variant does not take this shape; `detail` says why.
    case skipped
  }

  /// What was tested: `lengths`, `grouped-query`, `causality`, `threads`, …
  public let group: String
  /// Of which result: `output`, `lse`, `dq`, `dk`, `dv`, `bits`, `pairs`, …
  public let quantity: String
  /// On which shape, configuration and instruction set.
  public let subject: String
  /// The measured error, in the unit of the bound.
  public let error: Double
  /// The largest error allowed; 0 where bits or counts must agree.
  public let bound: Double
  /// How it went.
  public let verdict: Verdict
  /// What else there is to say, such as the error that was thrown.
  public let detail: String
  /// What it was made on, where it can be made again on another shape.
  public internal(set) var trial: ConformanceTrial?

  /// A comparison: passed when `error ≤ bound`; NaN fails.
  public init(
    group: String, quantity: String, subject: String, error: Double, bound: Double, detail: String = ""
  ) {
    self.init(
      group: group, quantity: quantity, subject: subject, error: error, bound: bound,
      verdict: error <= bound ? .passed : .failed, detail: detail)
  }

  /// A check with a verdict of its own.
  public init(
    group: String, quantity: String, subject: String, error: Double, bound: Double, verdict: Verdict,
    detail: String
  ) {
    self.group = group
    self.quantity = quantity
    self.subject = subject
    self.error = error
    self.bound = bound
    self.verdict = verdict
    self.detail = detail
  }

  /// The error as a fraction of its bound: above 1 is a failure; infinite where nothing but 0 is allowed.
  public var ratio: Double {
    switch verdict {
    case .skipped: 0
    case .failed where !(error <= bound): bound > 0 && error.isFinite ? error / bound : .infinity
    case .failed: .infinity
    case .passed: bound > 0 ? error / bound : 0
    }
  }

  /// One line.
  public var description: String {
    let numbers = verdict == .skipped ? "" : ": error \(short(error)), allowed \(short(bound))"
    return "\(verdict) \(group) \(quantity)\(numbers) [\(subject)]" + (detail.isEmpty ? "" : " " + detail)
  }
}

/// Everything that a variant was put through.
public struct ConformanceReport: Sendable {
  /// The variant's id.
  public let variant: String
  /// The checks, in the order in which they ran.
  public let checks: [ConformanceCheck]

  /// Creates a report.
  public init(variant: String, checks: [ConformanceCheck]) {
    self.variant = variant
    self.checks = checks
  }

  /// Whether nothing failed and something passed.
  public var passed: Bool { failures.isEmpty && checks.contains { $0.verdict == .passed } }

  /// The checks that failed.
  public var failures: [ConformanceCheck] { checks.filter { $0.verdict == .failed } }

  /// The worst check of every kind, in order of first appearance.
  /// - Parameter byQuantity: whether every (group, quantity) is a kind, or every group.
  public func worst(byQuantity: Bool) -> [ConformanceCheck] {
    checks.grouped { byQuantity ? [$0.group, $0.quantity] : [$0.group] }.map { group in
      group.elements.dropFirst().reduce(group.elements[0]) { worst, check in
        let isWorse = worst.verdict == .skipped || check.ratio > worst.ratio
        return check.verdict != .skipped && isWorse ? check : worst
      }
    }
  }
}

/// Three significant digits, without Foundation.
func short(_ value: Double) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
  if value == value.rounded(), value.magnitude < 1e6 { return "\(Int(value))" }
  var exponent = 0
  var mantissa = value.magnitude
  while mantissa >= 10 { mantissa /= 10; exponent += 1 }
  while mantissa < 1 { mantissa *= 10; exponent -= 1 }
  let digits = Int((mantissa * 10).rounded())
  return "\(value < 0 ? "-" : "")\(digits / 10).\(digits % 10)e\(exponent)"
}
