import Analysis
import Basics
import Figures
import Foundation
import LongText
import Presets
import Records
import Tasks

/// What a report says of trainings.
struct TrainingSection: Sendable {
  private let comparison: TrainingComparison
  private let curves: [CurveRow]?
  private let steps: [StepRow]
  private let timings: [String: StepTiming]
  private let folder: String

  /// Reads the trainings in a folder.
  /// - Throws: `UsageError` when there are none.
  init(folder: String) throws(UsageError) {
    self.folder = folder
    comparison = TrainingComparison(
      try TrainingExperiment.rows(of: [folder + "/" + TrainingExperiment.table]))
    curves = try TrainingExperiment.curves(in: folder)
    steps = try TrainingExperiment.steps(of: comparison, in: folder)
    timings = try TrainingExperiment.timings(of: comparison.rows, in: folder)
  }

  /// The part of the report.
  var section: ReportSection {
    let count = comparison.rows.count { $0.isTraining }
    var section = ReportSection(count: counted(count, "training"), source: "runs.csv and curves.csv")
    section.startedAt = comparison.rows.map(\.startedAt)
    section.origins = comparison.rows.map { RowPlace($0) }
    section.findings = findings
    section.pictures =
      [pareto].compactMap(\.self) + TrainingPlot.pictures(comparison, curves: curves, steps: steps)
    section.body = table + speed + laws + failures
    for file in [TrainingExperiment.table, TrainingExperiment.curveTable] {
      section.add(table: file, in: folder)
    }
    return section
  }

  /// The trainings, where their losses have an order: those of two kinds have none, nor those of two tasks. A way around
  /// attention does not make it another task.
  private var competing: [TrainingComparison.Line] {
    let lines = comparison.lines.filter { $0.rows[0].isTraining }, rows = lines.flatMap(\.rows)
    let tasks = Set(
      rows.map { row in
        TrainingRow.settings(row.taskConfiguration).filter { $0.key != TaskCatalog.way }
          .merging(["id": row.task]) { $1 }
      })
    return LossUnit.all(rows).count == 1 && tasks.count == 1 ? lines : []
  }

  /// Loss against time, where trainings compete: with laws they are sizes of one model.
  private var pareto: ReportSection.Picture? {
    let lines = competing
    guard comparison.laws.isEmpty, (3...12).contains(lines.count),
      let view = try? ParetoView([(title: "", series: lines.map { ($0.label, $0.rows) })], ["loss", "time"])
    else { return nil }
    return .init(
      view.figure,
      caption:
        "Test loss over the time of the training; seeds are one point at their means, with bars from the least to the greatest. Left and below is better; no training beats those on the dashed line in both."
    )
  }

  private var table: String {
    let (header, rows) = comparison.table, sentence = LossUnit.sentence(comparison.rows)
    let table = HTML.table(
      header, rows,
      caption:
        "\(sentence.prefix(1).uppercased())\(sentence.dropFirst()). Several seeds: mean ± standard deviation; one: accuracy with Wilson's 95 % interval. "
        + "Attention memory: closed form of the most demanding layer's pass with inputs, results and workspace."
    )
    return "<h2>Trainings</h2>\n" + table + comparison.notes.map { "<p>\(html($0))</p>\n" }.joined()
  }

  /// How long warm steps take, a row a training; nothing where there are none.
  private var speed: String {
    let rows = comparison.lines.filter { $0.rows[0].isTraining }.flatMap { line in
      line.rows.compactMap { row in timings[row.runID].map { (line.label, row, $0) } }
    }
    guard !rows.isEmpty else { return "" }
    let cells = rows.map { label, row, timing in
      [
        label, row["seed"], "\(timing.threads)", "\(timing.seconds.count)", "\(timing.tokens)",
        Quantity.describe(seconds: timing.seconds(0.5)), Quantity.describe(seconds: timing.seconds(0.2)),
        Quantity.describe(seconds: timing.seconds(0.8)), Quantity.significant(timing.tokensPerSecond, 3),
        timing.fractionOfPeak.map { Quantity.significant(100 * $0, 3) + " %" } ?? "–",
      ]
    }
    return "<h2>Steps</h2>\n"
      + HTML.table(
        [
          "model", "seed", "threads", "steps", "tokens a step", "median", "20 %", "80 %", "tokens/s",
          "of peak",
        ], cells,
        caption:
          "Warm steps: the first \(StepTiming.warmupSteps) of a training and those with an evaluation are left out. "
          + "Of the multiply-add peak that was measured in the same session with as many threads.")
  }

  private var findings: [String] {
    comparison.laws.flatMap { law -> [String] in
      let lines = law.lines.map { $0.trimmed }
      return [lines.filter { !$0.hasPrefix("warning") }.joined(separator: "; ") + "."]
    } + comparison.heldOut.map { TrainingComparison.describe($0).trimmed + "." }
      + extremes
  }

  /// The lowest and the highest test loss, where no law speaks.
  private var extremes: [String] {
    let lines = competing
    func loss(_ line: TrainingComparison.Line) -> Double {
      line.rows.reduce(0) { $0 + ($1.testLoss ?? .nan) } / Double(line.rows.count)
    }
    func number(_ line: TrainingComparison.Line) -> String {
      let number = Quantity.significant(loss(line), 4)
      return LossUnit(of: line.rows[0]) == .nats ? number + " nats" : number
    }
    guard comparison.laws.isEmpty, lines.count > 1, let best = lines.min(by: { loss($0) < loss($1) }),
      let worst = lines.max(by: { loss($0) < loss($1) })
    else { return [] }
    return [
      "Lowest test loss: \(best.label), \(number(best)); highest: \(worst.label), "
        + "\(Quantity.significant(loss(worst), 4))."
    ]
  }

  private var laws: String {
    guard !comparison.laws.isEmpty else { return "" }
    let file = "\(folder)/\(TrainingExperiment.table)"
    return "<h2>Laws</h2>\n"
      + comparison.laws.map { law in
        "<pre>\(html(law.lines.joined(separator: "\n")))\n\n\(html(law.command(file: file)))</pre>"
      }.joined(separator: "\n")
  }

  private var failures: String {
    guard !comparison.failures.isEmpty else { return "" }
    let rows = comparison.failures.map { [$0.runID, $0["seed"], $0["status"], $0.reason] }
    return "<h2>Not trained</h2>\n" + HTML.table(["run", "seed", "status", "reason"], rows)
  }
}
