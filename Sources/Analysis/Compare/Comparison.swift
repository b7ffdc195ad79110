import AttentionCore
import Basics
import Records
import ScalingLaws

/// Variants side by side: at one length, over the lengths, and where one overtakes another.
public struct Comparison: Sendable {
  /// One pass at one shape.
  public struct Part: Sendable {
    /// The rows.
    public let panel: Panel
    /// The length at which the table compares.
    public let length: Int?
    /// What speed-ups and crossovers refer to: the series of the baseline; none when it was not measured here. Where
    /// there are several (seeds, precisions, commits), a line's own is the nearest.
    public let baselines: [Panel.Series]
    /// The first of them, by which the part is described.
    public var baseline: Panel.Series? { baselines.first }
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
    /// What its speed-ups refer to: the baseline that agrees with it in most else.
    public let baseline: Panel.Series?

    /// Whether nothing can be said of how it grows.
    var hasNoLaw: Bool { time.exponent == nil && memory.exponent == nil }

    /// The time of its baseline at a length.
    func baselineSeconds(at length: Int?) -> Double? {
      length.flatMap { baseline?.row(at: $0)?.secondsMedian }
    }
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
  /// The length that was asked for; `nil`: all are shown.
  public let length: Int?
  /// What was left out of the rows, a line each.
  public var notes: [String] { parts.flatMap(\.panel.notes) }

  /// Compares rows.
  /// - Parameters:
  ///   - rows: of one file or of several.
  ///   - baseline: the variant that others are measured by.
  ///   - pass: only this pass; `nil`: all.
  ///   - length: where the table compares; `nil`: the largest length that most variants reached.
  /// - Throws: `UsageError` when the baseline, the pass or the length is in none of the parts.
  public init(
    _ rows: [MeasurementRow], baseline: String = "full", pass: PassKind? = nil, length: Int? = nil
  ) throws(UsageError) {
    try Self.check(pass, in: rows)
    (baselineName, self.length) = (baseline, length)
    let panels = Panel.panels(of: rows, pass: pass)
    let asked = panels.filter { panel in length.map { panel.lengths.contains($0) } ?? true }
    if let length, asked.isEmpty {
      let lengths = Set(panels.flatMap(\.lengths)).sorted().map(String.init).joined(separator: ", ")
      throw UsageError("--n \(length): not measured; there are \(lengths)")
    }
    var refusal: UsageError?
    var parts: [Part] = []
    for panel in asked {
      var bases: [Panel.Series] = []
      do throws(UsageError) { bases = try panel.baselines(baseline) } catch { refusal = error }
      let times = bases.map { $0.growth(.time) }
      let lines = panel.series.map { series in
        let base = Panel.nearest(series, among: bases), time = series.growth(.time)
        let index = bases.firstIndex { $0.label == base?.label }
        return Line(
          series: series, time: time, memory: series.memoryGrowth,
          crossover: Comparison.verdict(series, time, base, index.map { times[$0] }), baseline: base)
      }
      parts.append(
        Part(panel: panel, length: length ?? panel.comparisonLength, baselines: bases, lines: lines))
    }
    // The default baseline may be missing; one that was asked for may not be missing everywhere.
    if baseline != "full", let refusal, parts.allSatisfy(\.baselines.isEmpty) { throw refusal }
    self.parts = parts
  }

  /// Makes sure that a pass was measured.
  static func check(_ pass: PassKind?, in rows: [MeasurementRow]) throws(UsageError) {
    guard let pass, !rows.contains(where: { $0.pass == pass }) else { return }
    let passes = Set(rows.compactMap(\.pass?.rawValue)).sorted().joined(separator: ", ")
    throw UsageError("--pass \(pass.rawValue): not measured; there are \(passes)")
  }

  private static func verdict(
    _ series: Panel.Series, _ time: Growth, _ base: Panel.Series?, _ baseTime: Growth?
  ) -> CrossoverVerdict {
    guard let base, base.variant != series.variant || base.label != series.label, let first = time.fit,
      let second = baseTime?.fit
    else {
      return .none
    }
    let ratios = series.rows.compactMap { row -> Double? in
      guard let length = series.axis.length(of: row), let mine = row.secondsMedian,
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
    case .meets(let crossover) where crossover.low == nil && crossover.high == nil: "not told apart"
    case .meets(let crossover):
      "\(crossover.firstIsLowerAbove ? "faster" : "slower") from n ≈ \(Self.whole(crossover.x))"
        + " [\(crossover.low.map(Self.whole) ?? "?"), \(crossover.high.map(Self.whole) ?? "?")]"
        + (crossover.extrapolation > 1.05 ? ", beyond the data" : "")
    }
  }

  private static func whole(_ value: Double) -> String {
    value < 100 ? Quantity.whole(value) : Quantity.significant(value.rounded(), 3)
  }
}
