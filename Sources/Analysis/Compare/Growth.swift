import Basics
import Foundation
import Records
import LeastSquares
import ScalingLaws

/// How a quantity grows with the length: a fitted `a·n^b + c`.
public struct Growth: Sendable {
  /// The fit, or `nil` when there are too few lengths or nothing to fit.
  public let fit: Fit?
  /// The exponent b with its 95 % interval.
  public let exponent: (value: Double, low: Double?, high: Double?)?
  /// Why there is no fit.
  public let reason: String?

  /// Fits `a·n^b + c` with relative errors; `a·n^b` when there are only four lengths.
  ///
  /// The offset takes up what does not depend on the length: starting threads, fixed scratch.
  /// - Parameters:
  ///   - points: lengths and what was measured at them.
  ///   - offsetOnlyIfSeen: whether the offset is left out unless it is positive and an F-test at 5 % asks for
  ///     it, as of bytes: a constant part of them cannot be negative.
  public init(_ points: some Sequence<(Double, Double)>, offsetOnlyIfSeen: Bool = false) {
    let points = points.filter { $0.0 > 0 && $0.1 > 0 && $0.0.isFinite && $0.1.isFinite }
    if points.count >= 2, let first = points.first, points.allSatisfy({ $0.1 == first.1 }) {
      (fit, exponent, reason) = (nil, (0, 0, 0), nil)
      return
    }
    guard points.count >= 4 else {
      (fit, exponent, reason) = (nil, nil, "\(counted(points.count, "length")); a law needs at least 4")
      return
    }
    do throws(FitError) {
      let fit = try Self.law(points, offsetOnlyIfSeen: offsetOnlyIfSeen)
      self.fit = fit
      reason = nil
      if let b = fit.parameters["b"], let value = b.value {
        // Counted bytes obey their law exactly: nothing is left to make an interval of.
        let isExact = fit.residuals.allSatisfy { abs($0) < 1e-6 }
        exponent = isExact ? (value, value, value) : (value, b.low, b.high)
      } else {
        exponent = nil
      }
    } catch {
      (fit, exponent, reason) = (nil, nil, "\(error)")
    }
  }

  private static func law(_ points: [(Double, Double)], offsetOnlyIfSeen: Bool) throws(FitError) -> Fit {
    var options = FitOptions()
    options.influence = false
    let data = try FitData(x: points.map(\.0), y: points.map(\.1), name: "n")
    guard points.count >= 5 else { return try Fitter(PowerLaw(), options: options).fit(data) }
    let law = try Fitter(PowerLawOffset(), options: options).fit(data)
    guard offsetOnlyIfSeen else { return law }
    let plain = try Fitter(PowerLaw(), options: options).fit(data)
    guard let offset = law.parameters["c"]?.value, offset > 0, let test = NestedTest(plain, inside: law),
      test.probability < 0.05
    else { return plain }
    return law
  }

  /// `1.98 [1.95, 2.01]`, or a dash.
  public var text: String {
    guard let exponent else { return "–" }
    func ends(_ value: Double?) -> String { value.map { Growth.decimals($0) } ?? "?" }
    return "\(Growth.decimals(exponent.value)) [\(ends(exponent.low)), \(ends(exponent.high))]"
  }

  /// Two decimals.
  package static func decimals(_ value: Double) -> String {
    guard abs(value) < 1e13 else { return Quantity.significant(value, 3) }
    let scaled = Int((abs(value) * 100).rounded())
    let rest = scaled % 100
    return "\(value < 0 && scaled != 0 ? "-" : "")\(scaled / 100).\(rest < 10 ? "0" : "")\(rest)"
  }
}

extension Panel.Series {
  /// The points of a metric over the length.
  public func points(_ metric: Metric, baseline: Panel.Series? = nil) -> [(Double, Double)] {
    rows.compactMap { row in
      guard let length = axis.length(of: row) else { return nil }
      let base = baseline?.row(at: length)?.secondsMedian
      return metric.value(row, baselineSeconds: base).map { (Double(length), $0) }
    }
  }

  /// How a metric grows.
  public func growth(_ metric: Metric) -> Growth { Growth(points(metric)) }

  /// How memory grows: by the part that decides it at the largest length.
  ///
  /// Memory is inputs and results, which grow as n whatever the variant, and workspace, which is the variant's own.
  /// A sum of powers grows as its largest power; fitted as one power, n² beside n would show as 1.95 at these lengths.
  /// So where the workspace is most of the memory and grows faster, its law is the answer. Where it is less, it is
  /// scratch that grows in steps and says nothing about large n. Bytes are counted, not sampled: the longer half of the
  /// lengths (five at least) tells how they grow, and the steps of scratch at short ones only blur it.
  public var memoryGrowth: Growth {
    func growth(_ metric: Metric) -> Growth {
      let points = points(metric)
      return Growth(points.suffix(max(5, (points.count + 1) / 2)), offsetOnlyIfSeen: true)
    }
    let whole = growth(.memory)
    let workspace = growth(.workspace)
    guard let a = whole.exponent else { return whole }
    guard let b = workspace.exponent, b.value > a.value else { return whole }
    guard let last = rows.last, let used = last.workspaceBytes, let all = last.memoryBytes else {
      return whole
    }
    return 2 * Double(used) > Double(all) ? workspace : whole
  }
}
