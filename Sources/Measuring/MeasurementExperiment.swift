import Analysis
import AttentionCore
import Basics
import Foundation
import Presets
import Records
import Tasks
import Tensors

/// Times variants: `experiment: measurement`.
public enum MeasurementExperiment: ExperimentKind {
  /// How presets name it.
  public static let id = "measurement"
  /// What it is called in messages.
  public static let words = KindWords(
    cell: "cell", results: "measurements", counted: "row", verb: "measures", past: "measured")
  /// The file of its rows.
  public static let table = "measurements.csv"
  /// The tables that it writes.
  public static let tables = [
    ResultTable(table, MeasurementRow.self, "one variant, pass, shape and length")
  ]

  /// Reads the fields of an experiment.
  /// - Throws: `UsageError`.
  public static func plan(
    _ reader: inout FieldReader, _ context: PlanContext
  ) throws(UsageError) -> MeasurementPlan {
    try MeasurementPlan(&reader, context)
  }

  /// All cells of an experiment.
  /// - Throws: `UsageError`.
  public static func cells(
    of plan: MeasurementPlan, preset: String, experiment: String
  ) throws(UsageError) -> [Cell] {
    try plan.cells(preset: preset, experiment: experiment)
  }

  /// The files and folders that its inputs are made of.
  public static func inputs(of cell: Cell) -> [String] { cell.input.paths }

  /// The variant.
  public static func variants(of cell: Cell, in catalog: Catalog) -> Set<String> { [cell.variant] }

  /// Variant, pass, length, and every other field in which cells differ.
  public static func names(of cells: [Cell]) -> @Sendable (Cell) -> String {
    let names = CellNames(cells)
    return { names[$0] }
  }

  /// Closed forms.
  public static func forecast(_ cells: [Cell], catalog: Catalog, memoryLimit: Int?) -> any Foretold {
    Forecast(cells, catalog: catalog, memoryLimit: memoryLimit)
  }

  /// Every peak that a cell's rate is a fraction of, and the text as far as the longest cell reads it.
  /// - Throws: `UsageError`.
  public static func means(for cells: [Cell], in setting: RunSetting) throws -> RunMeans {
    var means = RunMeans()
    for need in cells.map(\.peak) where !means.peaks.contains(need) { means.peaks.append(need) }
    means.bfloat16 = cells.lazy.compactMap(\.bfloat16).first
    let needed = cells.compactMap { cell -> (path: String?, bytes: Int)? in
      guard case .text(let path) = cell.input else { return nil }
      return (path, cell.batch * max(cell.queryLength, cell.keyLength))
    }
    if let first = needed.first {
      means.text = try InputMaker.text(
        first.path, anchors: [setting.preset.file], limit: needed.map(\.bytes).max() ?? 1)
    }
    return means
  }

  /// A process for each cell, one after another.
  public static func executor(of session: RunSession<Self>) -> any Executor<Self> {
    LocalProcesses(session)
  }

  /// Time, fraction of peak and memory, or why there are none.
  public static func summary(of row: MeasurementRow) -> String {
    guard let seconds = row.secondsMedian else { return "\(row["status"]): \(row.reason)" }
    let memory = row.memoryBytes.map { Quantity.describe(bytes: Double($0)) } ?? "–"
    let share = row.fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of peak" } ?? ""
    return "\(Quantity.describe(seconds: seconds))\(share), \(memory)"
  }

  /// Variant, length and pass.
  public static func description(of row: MeasurementRow) -> String {
    "\(row.variant) at n = \(row.queryLength ?? 0) (\(row["pass"]))"
  }

  /// The comparison.
  /// - Throws: `UsageError`.
  public static func findings(
    _ rows: [MeasurementRow], folder: String, pictures: [String]
  ) throws -> KindFindings {
    let comparison = try Comparison(rows)
    return KindFindings(
      text: comparison.text + "\n", comparison: comparison.json, warning: doubtOfPeak(rows))
  }

  /// No pass is faster than the machine: a peak that was passed was measured while other work ran.
  private static func doubtOfPeak(_ rows: [MeasurementRow]) -> String? {
    let shares = rows.compactMap(\.fractionOfPeak).filter { $0 > 1.05 }
    guard let most = shares.max() else { return nil }
    return
      "\(counted(shares.count, "row")) \(shares.count == 1 ? "is" : "are") faster than the measured peak (up to \(Quantity.significant(100 * most, 3)) % of it):"
      + " other work kept the machine busy when it was measured; their fractions of peak mean nothing, --fresh starts over"
  }

  /// All.
  public static let answers = Set(ResultsQuestion.Part.allCases)

  /// Variants side by side, or one metric over all lengths.
  /// - Throws: `UsageError`.
  public static func comparison(
    of rows: [MeasurementRow], _ question: ResultsQuestion
  ) throws -> ResultsAnswer {
    let comparison = try Comparison(
      rows, baseline: question.baseline, pass: question.pass, length: question.length)
    if let pareto = question.pareto {
      let view = try ParetoView.of(comparison, pareto)
      return ResultsAnswer(text: view.text(question.format), json: view.json, figure: view.figure)
    }
    var view = ComparisonView()
    (view.metric, view.metrics, view.format) = (
      question.metric, question.columns ?? view.metrics, question.format
    )
    if let sort = question.sort {
      guard let order = ComparisonView.Order(sort) else {
        throw UsageError(
          "--sort \(shown(sort)): it takes one of \(choices(ComparisonView.Order.names, near: sort))")
      }
      view.order = order
    }
    return ResultsAnswer(
      text: comparison.text(view), json: comparison.json,
      figure: MeasurementPlot.figure(comparison, question.metric ?? .time))
  }

  /// Two runs of the same cells.
  /// - Throws: `UsageError`.
  public static func comparison(
    of rows: [MeasurementRow], against earlier: [MeasurementRow], _ question: ResultsQuestion
  ) throws -> ResultsAnswer {
    let regression = try Regression(
      new: rows, old: earlier, metric: question.metric ?? .time, pass: question.pass, length: question.length)
    return ResultsAnswer(
      text: regression.text, json: regression.json, failures: { regression.failures(above: $0) })
  }

  /// The metric.
  public static func pictureNames(_ question: ResultsQuestion) -> [String] {
    [(question.metric ?? .time).rawValue]
  }

  /// A metric over the length.
  /// - Throws: `UsageError`.
  public static func pictures(
    of rows: [MeasurementRow], in file: String, _ question: ResultsQuestion
  ) throws -> [ReportSection.Picture] {
    let comparison = try Comparison(rows, baseline: question.baseline, pass: question.pass)
    let metric = question.metric ?? .time
    return [
      .init(MeasurementPlot.figure(comparison, metric), caption: metric.quantity, name: metric.rawValue)
    ]
  }

  /// The comparison as a part of a page.
  /// - Throws: `UsageError`.
  public static func section(
    in folder: String, variants: Catalog
  ) throws(UsageError) -> ReportSection {
    try MeasurementSection(folder: folder, variants: variants).section
  }
}

extension Preset {
  /// All cells of all measurement experiments.
  /// - Throws: `UsageError`.
  public func cells() throws(UsageError) -> [Cell] { try cells(of: MeasurementExperiment.self) }
}
