import Analysis
import AttentionCore
import Basics
import Figures
import Foundation
import Presets
import Records

/// What a report says of measurements.
struct MeasurementSection: Sendable {
  private let rows: [MeasurementRow]
  private let comparison: Comparison
  private let folder: String
  private let variants: Catalog

  /// Reads the measurements in a folder.
  /// - Throws: `UsageError` when there are none.
  init(folder: String, variants: Catalog) throws(UsageError) {
    (self.folder, self.variants) = (folder, variants)
    rows = try MeasurementExperiment.rows(of: [folder + "/" + MeasurementExperiment.table])
    comparison = try Comparison(rows)
  }

  /// The part of the report.
  var section: ReportSection {
    var section = ReportSection(count: counted(rows.count, "cell"), source: MeasurementExperiment.table)
    section.preset = rows.first?.preset
    section.startedAt = rows.map(\.startedAt)
    section.origins = rows.map { RowPlace($0) }
    section.findings = findings()
    section.pictures =
      [pareto].compactMap(\.self)
      + Self.figures.map { item in
        .init(
          MeasurementPlot.figure(comparison, item.metric).withoutLonePoints, caption: item.caption,
          options: item.metric == .time ? "" : "--metric \(item.metric.rawValue)")
      }.filter { picture in
        // Speed-ups of the baseline alone are ones.
        !picture.figure.panels.isEmpty
          && !(picture.options == "--metric \(Metric.speedup.rawValue)" && picture.figure.isAllOnes)
      }
    section.body = PatternStrip(comparison, variants: variants).body + tables() + laws() + failures()
    section.add(table: MeasurementExperiment.table, in: folder)
    return section
  }

  /// Error against time, where there is something to choose: three contenders or more, some of them exact and some not.
  private var pareto: ReportSection.Picture? {
    guard var view = try? ParetoView.of(comparison, ["error", "time"]) else { return nil }
    view.keep { entries in
      let errors = entries.map(\.y.mean)
      return entries.count > 2 && (errors.max() ?? 0) > 100 * (errors.min() ?? 0)
    }
    guard !view.parts.isEmpty else { return nil }
    return .init(
      view.figure,
      caption:
        "What a cheaper attention costs: relative error against full attention over the time of a pass, at the largest length. Left and below is better; no variant beats those on the dashed line in both."
    )
  }

  private static let figures: [(metric: Metric, caption: String)] = [
    (
      .time,
      "Time of a pass over the sequence length. Points: medians; bars: 20th to 80th percentile; lines: fits of a·n^b + c with the 95 % band of the curve; the legend gives b with its 95 % interval."
    ),
    (
      .memory,
      "Memory of a pass as the ledger counted it: inputs, results and workspace. The legend gives the exponent of the whole, or of the workspace where that is most of it."
    ),
    (
      .speedup,
      "How many times faster than full attention at the same length; above the dashed line a variant is faster."
    ),
    (
      .error,
      "Relative error against full attention on the same inputs, over sampled query rows computed exactly in double precision: of the output, or for backward of the gradient of q."
    ),
    (
      .peak,
      "Floating-point operations on needed pairs, as a share of the fused multiply-add peak measured in the same run."
    ),
  ]

  /// What the numbers say, in sentences.
  private func findings() -> [String] {
    comparison.parts.flatMap { part -> [String] in
      guard let length = part.length, let base = part.baseline, let reference = base.row(at: length),
        let seconds = reference.secondsMedian
      else { return [] }
      var sentences: [String] = []
      let others = part.panel.series.filter { $0.label != base.label }
      let faster = others.compactMap { series -> (Panel.Series, MeasurementRow, Double)? in
        guard let row = series.row(at: length), let mine = row.secondsMedian else { return nil }
        return (series, row, seconds / mine)
      }.sorted { $0.2 > $1.2 }
      if let (series, row, ratio) = faster.first, ratio > 1 {
        sentences.append(
          "\(part.panel.title), n = \(length): the fastest is \(series.label), \(Quantity.significant(ratio, 3)) times as fast as \(base.label)"
            + (row.errorRel.map { ", with a relative error of \(Quantity.significant($0, 2))" } ?? "") + ".")
      }
      let close = faster.filter { ($0.1.errorRel ?? 1) < 0.99 && $0.2 > 1 && ($0.1.errorRel ?? 1) > 1e-3 }
        .min { ($0.1.errorRel ?? 1) < ($1.1.errorRel ?? 1) }
      if let (series, row, ratio) = close, series.label != faster.first?.0.label {
        sentences.append(
          "\(part.panel.title): of the faster ones \(series.label) comes closest to \(base.label): error \(Quantity.significant(row.errorRel ?? 0, 2)), \(Quantity.significant(ratio, 3)) times as fast."
        )
      }
      let large = others.compactMap { series -> (Panel.Series, Double)? in
        guard let mine = series.row(at: length)?.memoryBytes, let theirs = reference.memoryBytes else {
          return nil
        }
        return (series, Double(mine) / Double(theirs))
      }.max { $0.1 < $1.1 }
      if let (series, ratio) = large, ratio > 1.5,
        let line = part.lines.first(where: { $0.series.label == series.label })
      {
        sentences.append(
          "\(part.panel.title): \(series.label) needs \(Quantity.significant(ratio, 3)) times the memory of \(base.label)"
            + (line.memory.exponent.map { "; its memory grows as n^\(Quantity.significant($0.value, 3))" }
              ?? "")
            + ".")
      }
      return sentences
    }
  }

  private func tables() -> String {
    var text = comparison.notes.map { "<p>\(html($0))</p>\n" }.joined()
    for part in comparison.parts {
      text += "<h2>\(html(part.panel.title))</h2>\n"
      if let length = part.length {
        let (header, cells) = Comparison.side(part, at: length)
        text += HTML.table(
          header, cells,
          caption:
            "n = \(length). Spread: half of the 20th to 80th percentile. Memory: the ledger's peak; process: its own high-water mark; error and speed-up: against \(part.baseline?.label ?? "full"); kept mass: share of full attention's weights on pairs that the variant sees."
        )
      }
      if part.panel.lengths.count > 1 {
        let rows = part.panel.series.map { series in
          [series.label] + part.panel.lengths.map { Metric.time.describe(series.row(at: $0)?.secondsMedian) }
        }
        text += HTML.table(["median time"] + part.panel.lengths.map { "n = \($0)" }, rows)
      }
    }
    return text
  }

  private func laws() -> String {
    var text =
      "<h2>Laws</h2>\n<p>Fits of a·n^b + c with relative errors; b with its 95 % interval. A crossover is where the"
      + " fitted curves of a variant and of \(html(comparison.baselineName)) meet, with the interval in which they cannot be told apart.</p>\n"
    for part in comparison.parts where part.panel.lengths.count > 1 {
      let rows = part.lines.map { [$0.series.label, $0.time.text, $0.memory.text, $0.crossover.text] }
      text += HTML.table(
        ["variant", "time ∝ n^b", "memory ∝ n^b", "against \(comparison.baselineName)"], rows,
        caption: part.panel.title)
    }
    return text
  }

  private func failures() -> String {
    let failed = comparison.parts.flatMap { $0.panel.failures }
    guard !failed.isEmpty else { return "" }
    let names = CellNames(rows)
    let lines = failed.map { [names[$0], $0["status"], $0.reason] }
    return "<h2>Not measured</h2>\n" + HTML.table(["cell", "status", "reason"], lines)
  }
}

extension Figure {
  /// Whether every point is at 1.
  fileprivate var isAllOnes: Bool {
    panels.allSatisfy { $0.curves.allSatisfy { $0.points.allSatisfy { $0.y == 1 } } }
  }
}
