import Basics
import Foundation
import Measuring
import Presets
import Records
import Tensors

/// The figures of the performance preset beside their targets.
package struct BenchTable {
  package let rows: [MeasurementRow]
  /// Measured bytes a second / 10⁹ of reading what fits no cache, by threads.
  package let bandwidth: [Int: Double]
  /// Measured bytes a second / 10⁹ of reading as many bytes as a decoding row does, or of rewriting as large a state.
  package let reading: [Reading: Double]
  /// What rows are to reach, by experiment: the preset says it.
  package let targets: [String: [Target]]

  package init(
    rows: [MeasurementRow], bandwidth: [Int: Double], reading: [Reading: Double], targets: [String: [Target]]
  ) {
    (self.rows, self.bandwidth, self.reading, self.targets) = (rows, bandwidth, reading, targets)
  }

  /// What a decoding pass reads: the cache of keys and values, or a recurrence's state, which it writes as well; on a number of
  /// threads.
  package struct Reading: Hashable {
    package var threads: Int
    package var bytes: Int
    /// Whether it is a state, half of whose bytes are written: the limit is then the rate of rewriting as many in place.
    package var isState = false

    /// Of a row that was measured; `nil` of another pass.
    package init?(_ row: MeasurementRow) {
      guard row.pass == .decode, let keys = row.keyLength, let heads = row.keyHeads, let dim = row.headDim
      else {
        return nil
      }
      threads = row.threads ?? 1
      // What has no pairs keeps a state, and moves it on.
      if row.density == nil, let state = row.stateBytes {
        bytes = 2 * (row.batch ?? 1) * Int(state)
        isState = true
        return
      }
      let element = row.precision.byteCount
      bytes = element * (row.batch ?? 1) * heads * keys * (dim + (row.valueDim ?? dim))
    }

    package init(threads: Int, bytes: Int, isState: Bool = false) {
      (self.threads, self.bytes, self.isState) = (threads, bytes, isState)
    }
  }

  /// The figures of one row.
  package struct Figures {
    package var fractionOfLimit: Double?
    /// The fraction of the peak on the pairs that the tiles execute, needed or not.
    package var fractionExecuted: Double?
    /// How many times as fast as float32 a bfloat16 row is.
    package var timesFloat32: Double?
    /// The time to build tile lists and draw what is drawn, over the time of a pass.
    package var planFraction: Double?
    package var target: Goal<Target.Figure>?

    /// Whether the target is reached; `nil` without a target or a figure.
    package var isReached: Bool? {
      guard let target else { return nil }
      let figure =
        switch target.figure {
        case .timesFloat32: timesFloat32
        case .fractionExecuted: fractionExecuted
        case .fractionOfLimit: fractionOfLimit
        }
      return target.isReached(by: figure)
    }
  }

  /// A table for people.
  package var text: String { text(width: Screen.columns()) }

  /// The same in lines of at most a width.
  package func text(width: Int) -> String {
    var table = TextTable([
      "experiment", "variant", "pass", "n", "d", "threads", "isa", "precision", "seconds", "GFLOP/s",
      "of the limit", "padding overhead", "executed, of the limit", "plan / time",
      "choosing / time", "target",
    ])
    for row in rows {
      let figures = figures(of: row)
      table.add([
        row.experiment, row.variant + (row.causal == true && row.pass != .decode ? " causal" : ""),
        row["pass"],
        "\(row.pass == .decode ? row.keyLength ?? 0 : row.queryLength ?? 0)", "\(row.headDim ?? 0)",
        "\(row.threads ?? 0)", row.isa, row.precision.rawValue,
        row.secondsMedian.map { String(format: "%.4f", $0) } ?? row["status"],
        row.gflops.map { String(format: "%.0f", $0) } ?? "", Self.percent(figures.fractionOfLimit),
        row.paddingOverhead.map { String(format: "%.2f", $0) } ?? "", Self.percent(figures.fractionExecuted),
        figures.planFraction.map { String(format: "%.1f%%", 100 * $0) } ?? "",
        Self.choosing(row).map { String(format: "%.1f%%", 100 * $0) } ?? "", Self.text(figures),
      ])
    }
    return ([table.text(width: width)] + decodingLines + quietLines).joined(separator: "\n")
  }

  /// In how many rows the machine was this program's own, of those for which somebody looked.
  package var quietRows: (quiet: Int, all: Int) {
    let looked = rows.filter { $0.quietRepeats != nil }
    return (looked.count(where: \.isQuiet), looked.count)
  }

  /// What is said when the machine was not this program's own.
  private var quietLines: [String] {
    let (quiet, all) = quietRows
    guard quiet < all else { return [] }
    return [
      "",
      "beside nearly all passes of \(all - quiet) of \(counted(all, "row")) (quiet_repeats below 3) multiply-adds had less than "
        + "the share of their peak that the preset's quiet asks for: other programs were at work, or the clock fell",
    ]
  }

  /// What the limit of decoding is, and whether it is one of memory or of the cache.
  private var decodingLines: [String] {
    let found = reading.sorted { ($0.key.bytes, $0.key.threads) < ($1.key.bytes, $1.key.threads) }
    guard !found.isEmpty else { return [] }
    let cache = LastLevelCache.bytes
    return [
      "",
      "decoding: of the rate of reading as many bytes as the cell reads, or of reading and writing a state in place "
        + "(last-level cache: "
        + "\(Quantity.describe(bytes: Double(cache))))",
    ]
      + found.map { reading, rate in
        let held = reading.isState ? reading.bytes / 2 : reading.bytes
        let place =
          (reading.isState ? "read and written, " : "")
          + (held > 2 * cache ? "memory" : "may stay in the cache")
        return
          "  \(Quantity.describe(bytes: Double(reading.bytes))) on \(counted(reading.threads, "thread")): "
          + "\(Quantity.significant(rate, 3)) GB/s (\(place))"
      }
  }

  /// The same for programs: the columns of `measurements.csv`, and the figures.
  package var json: JSONValue {
    .array(
      rows.map { row in
        let figures = figures(of: row)
        guard case .object(let members) = row.json else { return row.json }
        return .object(
          members + [
            .init(key: "fraction_of_limit", value: .number(figures.fractionOfLimit)),
            .init(key: "fraction_executed", value: .number(figures.fractionExecuted)),
            .init(key: "times_float32", value: .number(figures.timesFloat32)),
            .init(key: "plan_fraction", value: .number(figures.planFraction)),
            .init(key: "target", value: figures.target?.json ?? .null),
            .init(key: "target_reached", value: figures.isReached.map { .bool($0) } ?? .null),
          ])
      })
  }

  /// What a row says of the machine's limits.
  package func figures(of row: MeasurementRow) -> Figures {
    Figures(
      fractionOfLimit: figure(.fractionOfLimit, of: row),
      fractionExecuted: figure(.fractionExecuted, of: row),
      timesFloat32: figure(.timesFloat32, of: row), planFraction: planFraction(of: row),
      target: goal(of: row))
  }

  static func percent(_ value: Double?) -> String {
    value.map { String(format: "%.0f%%", 100 * $0) } ?? ""
  }

  private static func text(_ figures: Figures) -> String {
    guard let target = figures.target else { return "" }
    let verdict = figures.isReached.map { $0 ? "" : ", missed" } ?? ""
    switch target.figure {
    case .timesFloat32:
      let found = figures.timesFloat32.map { String(format: ": %.2f×", $0) } ?? ""
      return String(format: "%.2f× float32", target.atLeast) + found + verdict
    case .fractionExecuted: return "executed " + percent(target.atLeast) + verdict
    case .fractionOfLimit: return percent(target.atLeast) + verdict
    }
  }

  /// The share of the machine's limit: of the multiply-add peak; when decoding, of the rate of reading as many bytes (a state: of
  /// rewriting them) or of the peak, whichever takes longer (with several heads on a key head it can be the peak).
  private func fraction(of row: MeasurementRow) -> Double? {
    guard row.pass == .decode else { return row.fractionOfPeak }
    guard let seconds = row.secondsMedian, let read = Reading(row), let limit = reading[read] else {
      return nil
    }
    return max(Double(read.bytes) / seconds / 1e9 / limit, row.fractionOfPeak ?? 0)
  }

  private func executedFraction(of row: MeasurementRow) -> Double? {
    guard let fraction = row.fractionOfPeak, let overhead = row.paddingOverhead else { return nil }
    return fraction * overhead
  }

  /// The share of a pass by which keys are chosen.
  private static func choosing(_ row: MeasurementRow) -> Double? {
    guard let part = row.secondsChoosing, let seconds = row.secondsMedian, seconds > 0 else { return nil }
    return part / seconds
  }

  private func planFraction(of row: MeasurementRow) -> Double? {
    guard let plan = row.planSeconds, let seconds = row.secondsMedian, seconds > 0 else { return nil }
    return plan / seconds
  }

  private func timesFloat32(_ row: MeasurementRow) -> Double? {
    guard row.precision != .float32,
      let seconds = row.secondsMedian,
      let base = rows.first(where: {
        $0.experiment == row.experiment && $0.precision == .float32 && $0.pass == row.pass
          && $0.variant == row.variant && $0.headDim == row.headDim && $0.threads == row.threads
          && $0.keyLength == row.keyLength && $0.queryHeads == row.queryHeads && $0.isa == row.isa
          && $0.causal == row.causal
      })?.secondsMedian
    else { return nil }
    return base / seconds
  }

  /// The first target of the experiment that the row is to reach; `nil` too when its reference was not measured.
  private func goal(of row: MeasurementRow) -> Goal<Target.Figure>? {
    guard let target = targets[row.experiment]?.first(where: { $0.applies(to: row) }) else { return nil }
    guard let reference = target.reference else { return target.goal }
    let base = rows.first {
      $0.experiment == row.experiment && $0.variant == reference && $0.pass == row.pass
    }
    return base.flatMap { figure(target.figure, of: $0) }.map {
      Goal(figure: target.figure, atLeast: target.atLeast * $0)
    }
  }

  private func figure(_ figure: Target.Figure, of row: MeasurementRow) -> Double? {
    switch figure {
    case .fractionOfLimit: fraction(of: row)
    case .fractionExecuted: row.pass == .decode ? nil : executedFraction(of: row)
    case .timesFloat32: timesFloat32(row)
    }
  }
}
