import ScalingLaws

/// Variants side by side: at one length, over the lengths, and where one overtakes another.
public struct Comparison: Sendable {
  /// One pass at one shape.
  public struct Part: Sendable {
    /// The rows.
    public let panel: Panel
    /// The length at which the table compares.
    public let length: Int?
    /// What speed-ups and crossovers refer to; `nil` when it was not measured here.
    public let baseline: Panel.Series?
    /// Growth of time and memory and the crossover, in the order of the panel's series.
    public let lines: [Line]
  }

  /// What the lengths together say about a series.
  public struct Line: Sendable {
    /// The series.
    public let series: Panel.Series
    /// How its time grows.
    public let time: Growth
    /// How its memory grows.
    public let memory: Growth
    /// Where it overtakes the baseline.
    public let crossover: CrossoverVerdict
  }

  /// Where a series is faster than the baseline.
  public enum CrossoverVerdict: Sendable {
    /// It is the baseline, or there is none, or a law is missing.
    case none
    /// Faster at every measured length; the fitted curves do not meet near the data.
    case always
    /// Slower at every measured length; the fitted curves do not meet near the data.
    case never
    /// The fitted curves meet.
    case meets(Crossover)
  }

  /// The parts, in the order of the rows.
  public let parts: [Part]
  /// The baseline's name.
  public let baselineName: String

  /// Compares rows.
  /// - Parameters:
  ///   - baseline: the variant that others are measured by.
  ///   - pass: only this pass; `nil`: all.
  ///   - length: where the table compares; `nil`: the largest length that most variants reached.
  /// - Throws: `UsageError` when the baseline is in none of the parts.
  public init(
    _ rows: [MeasurementRow], baseline: String = "full", pass: String? = nil, length: Int? = nil
  ) throws(UsageError) {
    baselineName = baseline
    var parts: [Part] = []
    let panels = Panel.panels(of: rows, pass: pass)
    for panel in panels {
      if let length, !panel.lengths.contains(length) {
        throw UsageError(
          "--n \(length): not measured; there are \(panel.lengths.map(String.init).joined(separator: ", "))")
      }
      // The default baseline may be missing; one that was asked for may not.
      let base: Panel.Series? =
        baseline == "full" ? try? panel.baseline(baseline) : try panel.baseline(baseline)
      let baseTime = base?.growth(.time)
      let lines = panel.series.map { series in
        let time = series.growth(.time)
        return Line(
          series: series, time: time, memory: series.memoryGrowth,
          crossover: Comparison.verdict(series, time, base, baseTime))
      }
      parts.append(
        Part(panel: panel, length: length ?? panel.comparisonLength, baseline: base, lines: lines))
    }
    self.parts = parts
  }

  private static func verdict(
    _ series: Panel.Series, _ time: Growth, _ base: Panel.Series?, _ baseTime: Growth?
  ) -> CrossoverVerdict {
    guard let base, base.label != series.label, let first = time.fit, let second = baseTime?.fit else {
      return .none
    }
    let ratios = series.rows.compactMap { row -> Double? in
      guard let length = row.keyLength, let mine = row.secondsMedian,
        let theirs = base.row(at: length)?.secondsMedian
      else { return nil }
      return mine / theirs
    }
    // Curves with offsets can meet twice; what holds from there on is said by the last meeting inside the data.
    let meetings = crossovers(of: first, and: second)
    let inside = meetings.filter { $0.extrapolation <= 1 }.max { $0.x < $1.x }
    if let meeting = inside ?? meetings.min(by: { $0.extrapolation < $1.extrapolation }) {
      // A meeting point far outside the data, against what every measured length says, is a guess.
      let agrees = ratios.contains { $0 < 1 } && ratios.contains { $0 > 1 }
      if agrees || meeting.extrapolation <= 2 { return .meets(meeting) }
    }
    guard let last = ratios.last else { return .none }
    return last < 1 ? .always : .never
  }
}

extension Comparison.CrossoverVerdict {
  /// For a table: `faster from n ≈ 900 [700, 1200]`.
  public var text: String {
    switch self {
    case .none: "–"
    case .always: "faster at every length"
    case .never: "slower at every length"
    case .meets(let crossover):
      "\(crossover.firstIsLowerAbove ? "faster" : "slower") from n ≈ \(Self.whole(crossover.x))"
        + " [\(crossover.low.map(Self.whole) ?? "?"), \(crossover.high.map(Self.whole) ?? "?")]"
        + (crossover.extrapolation > 1.05 ? ", beyond the data" : "")
    }
  }

  private static func whole(_ value: Double) -> String {
    value < 100 ? "\(Int(value.rounded()))" : Quantity.significant(value.rounded(), 3)
  }
}
