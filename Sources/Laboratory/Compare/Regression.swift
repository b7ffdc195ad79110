import Basics

/// Two runs of the same cells against each other.
public struct Regression: Sendable {
  /// One cell that both runs measured.
  public struct Line: Sendable {
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
  public let lost: [MeasurementRow]

  /// Pairs rows by what they measured.
  /// - Throws: `UsageError` when no cell is in both, or the metric cannot be compared this way.
  public init(
    new: [MeasurementRow], old: [MeasurementRow], metric: Metric = .time, pass: String? = nil
  ) throws(UsageError) {
    guard metric != .speedup else {
      throw UsageError("--metric speedup: runs are compared by a measured metric")
    }
    self.metric = metric
    var earlier: [String: MeasurementRow] = [:]
    for row in old where pass == nil || row.pass == pass { earlier[Self.key(row)] = row }
    var lines: [Line] = []
    var lost: [MeasurementRow] = []
    for row in new where pass == nil || row.pass == pass {
      guard let before = earlier[Self.key(row)], let then = metric.value(before) else { continue }
      if let now = metric.value(row) {
        // Of rates, more is better.
        let isRate = metric == .speed || metric == .peak
        let ratio = isRate ? then / now : now / then
        lines.append(Line(new: row, old: before, ratio: then == now ? 1 : ratio))
      } else {
        lost.append(row)
      }
    }
    guard !lines.isEmpty || !lost.isEmpty else {
      throw UsageError("--against: the two files have no measured cell in common")
    }
    self.lines = lines.sorted { $0.ratio > $1.ratio }
    self.lost = lost
  }

  private static func key(_ row: MeasurementRow) -> String {
    [
      row.experiment, row.variant, row.configuration, row.pass, "\(row.batch ?? 0)", "\(row.queryHeads ?? 0)",
      "\(row.keyHeads ?? 0)", "\(row.queryLength ?? 0)", "\(row.keyLength ?? 0)", "\(row.headDim ?? 0)",
      "\(row.valueDim ?? 0)", "\(row.causal ?? false)", "\(row.threads ?? 0)", row.isa, row.input,
    ].joined(separator: "|")
  }

  /// The cells that are worse by more than a factor, and those lost.
  public func failures(above factor: Double) -> [String] {
    lines.filter { !($0.ratio <= factor) }.map {
      "\($0.new.variant) \($0.new.pass) n=\($0.new.keyLength ?? 0): \(Quantity.significant($0.ratio, 3))×"
    } + lost.map { "\($0.variant) \($0.pass) n=\($0.keyLength ?? 0): \($0.status)" }
  }

  /// The geometric mean of all ratios.
  public var meanRatio: Double {
    guard !lines.isEmpty else { return .nan }
    return logMean(lines.map(\.ratio))
  }

  /// A table, worst first.
  public var text: String {
    var table = TextTable(["variant", "pass", "n", "old", "new", "new / old"])
    for line in lines {
      table.add([
        line.new.variant, line.new.pass, "\(line.new.keyLength ?? 0)",
        metric.describe(metric.value(line.old)),
        metric.describe(metric.value(line.new)), Quantity.significant(line.ratio, 3),
      ])
    }
    return table.text + "\n\(lines.count) cells, geometric mean \(Quantity.significant(meanRatio, 3))"
      + lost.map { "\nlost: \($0.variant) \($0.pass) n = \($0.keyLength ?? 0): \($0.status)" }.joined()
  }

  /// The same as JSON.
  public var json: JSONValue {
    .object([
      "metric": .string(metric.rawValue), "mean_ratio": .double(meanRatio),
      "cells": .array(
        lines.map {
          .object([
            "variant": .string($0.new.variant), "pass": .string($0.new.pass), "n": .number($0.new.keyLength),
            "old": .number(metric.value($0.old)), "new": .number(metric.value($0.new)),
            "ratio": .double($0.ratio),
          ])
        }),
      "lost": .array(lost.map { .string("\($0.variant) \($0.pass) n=\($0.keyLength ?? 0): \($0.status)") }),
    ])
  }
}
