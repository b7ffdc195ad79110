import AttentionCore
import Basics
import Records

/// Two runs of the same cells against each other.
public struct Regression: Sendable {
  /// One cell that both runs measured.
  public struct Line: Sendable {
    /// What tells the cell from the others.
    public let label: String
    /// The new row.
    public let new: MeasurementRow
    /// The old row.
    public let old: MeasurementRow
    /// New over old of the metric; above 1 is worse.
    public let ratio: Double
  }

  /// The metric.
  public let metric: Metric
  /// The cells that both measured, worst first.
  public let lines: [Line]
  /// Cells that the old run measured and the new one failed.
  public let lost: [Lost]

  /// A cell that the old run measured and the new one failed.
  public struct Lost: Sendable {
    /// What tells the cell from the others.
    public let label: String
    /// The new row.
    public let new: MeasurementRow
  }

  /// Pairs rows by what they measured.
  /// - Parameters:
  ///   - new: rows of now.
  ///   - old: rows to compare with.
  ///   - metric: what is compared.
  ///   - pass: only this pass; `nil`: all.
  ///   - length: only this length; `nil`: all.
  /// - Throws: `UsageError` when no cell is in both, the pass was not measured, or the metric cannot be compared this way.
  public init(
    new: [MeasurementRow], old: [MeasurementRow], metric: Metric = .time, pass: PassKind? = nil,
    length: Int? = nil
  ) throws(UsageError) {
    guard metric != .speedup else {
      throw UsageError("--metric speedup: runs are compared by a measured metric")
    }
    try Comparison.check(pass, in: new)
    self.metric = metric
    func isAsked(_ row: MeasurementRow) -> Bool {
      (pass == nil || row.pass == pass) && (length == nil || row.cellLength == length)
    }
    let new = new.filter(isAsked), names = CellNames(new)
    var pairing = Pairing(old.filter(isAsked), with: new)
    var lines: [Line] = []
    var lost: [Lost] = []
    for row in new {
      guard let before = pairing.partner(of: row), let then = metric.value(before) else { continue }
      if let now = metric.value(row) {
        // Of rates, more is better.
        let isRate = metric == .speed || metric == .peak
        let ratio = isRate ? then / now : now / then
        lines.append(Line(label: names[row], new: row, old: before, ratio: then == now ? 1 : ratio))
      } else {
        lost.append(Lost(label: names[row], new: row))
      }
    }
    guard !lines.isEmpty || !lost.isEmpty else {
      throw UsageError("--against: the two files have no measured cell in common")
    }
    self.lines = lines.sorted { $0.ratio > $1.ratio }
    self.lost = lost
  }

  /// The cells that are worse by more than a factor, and those lost.
  public func failures(above factor: Double) -> [String] {
    lines.filter { !($0.ratio <= factor) }.map { "\($0.label): \(Quantity.significant($0.ratio, 3))×" }
      + lost.map { "\($0.label): \($0.new["status"])" }
  }

  /// The geometric mean of all ratios.
  public var meanRatio: Double {
    guard !lines.isEmpty else { return .nan }
    return logMean(lines.map(\.ratio))
  }

  /// A table, worst first.
  public var text: String {
    var table = TextTable(["cell", "old", "new", "new / old"])
    for line in lines {
      table.add([
        line.label, metric.describe(metric.value(line.old)), metric.describe(metric.value(line.new)),
        Quantity.significant(line.ratio, 3),
      ])
    }
    return table.text
      + "\n\(counted(lines.count, "cell")), geometric mean \(Quantity.significant(meanRatio, 3))"
      + lost.map { "\nlost: \($0.label): \($0.new["status"])" }.joined()
  }

  /// The same as JSON.
  public var json: JSONValue {
    .object([
      "metric": .string(metric.rawValue), "mean_ratio": .double(meanRatio),
      "cells": .array(
        lines.map {
          .object([
            "cell": .string($0.label), "variant": .string($0.new.variant), "pass": .string($0.new["pass"]),
            "n": .number($0.new.cellLength),
            "old": .number(metric.value($0.old)), "new": .number(metric.value($0.new)),
            "ratio": .double($0.ratio),
          ])
        }), "lost": .array(lost.map { .string("\($0.label): \($0.new["status"])") }),
    ])
  }
}

/// Finds the row of an earlier run that measured what a row measured: the same identity. Where a run is made again the
/// experiment's name, the machine and the commit may differ; they decide only between rows that agree in all else.
private struct Pairing {
  private var candidates: [String: [MeasurementRow]] = [:]
  private var taken: [String: Int] = [:]
  private let deciding: [Field<MeasurementRow>]

  private static let free: Set = ["preset", "experiment", "machine", "host", "commit"]
  private static let core = MeasurementRow.identity.filter { !free.contains($0.name) }

  init(_ old: [MeasurementRow], with new: [MeasurementRow]) {
    deciding = ["experiment", "machine", "preset", "host", "commit"].compactMap { name in
      MeasurementRow.identity.first { $0.name == name }
    }
    for row in old { candidates[Self.key(row), default: []].append(row) }
  }

  private static func key(_ row: MeasurementRow) -> String {
    // A row that failed before it was planned knows only the settings that were given; its cell is named by its id.
    row.key(core)
  }

  mutating func partner(of row: MeasurementRow) -> MeasurementRow? {
    var found =
      candidates[Self.key(row)]
      ?? candidates.values.lazy.flatMap { $0 }.filter { other in
        !row.cellID.isEmpty && other.cellID == row.cellID
      }
    for field in deciding where found.count > 1 {
      let agreeing = found.filter { field.text($0) == field.text(row) }
      if !agreeing.isEmpty { found = agreeing }
    }
    guard let first = found.first else { return nil }
    guard found.count > 1 else { return first }
    // Rows that nothing tells apart stand for each other in their order.
    let name = row.key(MeasurementRow.identity)
    let turn = taken[name, default: 0]
    taken[name] = turn + 1
    return found[turn % found.count]
  }
}
