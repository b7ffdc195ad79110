import Analysis
import AttentionCore
import Basics
import Foundation
import Presets
import Records
import Tensors

/// Trains Transformers: `experiment: training`.
public enum TrainingExperiment: ExperimentKind {
  /// How presets name it.
  public static let id = "training"
  /// What it is called in messages.
  public static let words = KindWords(
    cell: "training", results: "trainings", counted: "training", verb: "trains", past: "trained")
  /// The file of its rows.
  public static let table = "runs.csv"
  /// The file of the curves beside them.
  static let curveTable = "curves.csv"
  /// The file of the steps beside them.
  static let stepTable = "steps.csv"
  /// The tables that it writes.
  public static let tables = [
    ResultTable(table, TrainingRow.self, "one training, or one further evaluation of it"),
    ResultTable(curveTable, CurveRow.self, "one evaluation during a training"),
    ResultTable(stepTable, StepRow.self, "one optimiser step of a training"),
  ]

  /// Reads the fields of an experiment.
  /// - Throws: `UsageError`.
  public static func plan(
    _ reader: inout FieldReader, _ context: PlanContext
  ) throws(UsageError) -> TrainingPlan {
    try TrainingPlan(&reader, catalog: context.catalog, name: context.name)
  }

  /// All trainings of an experiment.
  public static func cells(of plan: TrainingPlan, preset: String, experiment: String) -> [TrainingJob] {
    plan.jobs
  }

  /// The texts of its tasks.
  public static func inputs(of cell: TrainingJob) -> [String] {
    ([cell.taskSettings] + cell.auxiliary.map(\.settings)).compactMap {
      if case .string(let path)? = $0["path"] { path } else { nil }
    }
  }

  /// The variants of all layers.
  /// - Throws: `ConfigurationError`.
  public static func variants(of cell: TrainingJob, in catalog: Catalog) throws -> Set<String> {
    try cell.variants(catalog: catalog)
  }

  /// The task, of several experiments the experiment, and the settings in which its trainings differ.
  public static func names(of cells: [TrainingJob]) -> @Sendable (TrainingJob) -> String {
    let experiments = Dictionary(grouping: cells, by: \.experiment)
    let differing = experiments.mapValues { jobs in
      let all = jobs.map(\.settings)
      return Set(all.flatMap(\.keys)).filter { key in Set(all.map { $0[key] }).count > 1 }
    }
    let isOne = experiments.count == 1
    return { job in
      let own = job.settings.filter { differing[job.experiment]?.contains($0.key) == true }
      let name = isOne || job.experiment.isEmpty ? job.task : job.experiment
      return ([name] + own.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }).joined(separator: " ")
    }
  }

  /// A few steps of each are timed.
  /// - Throws: `ConfigurationError`; what tasks and attention throw.
  public static func forecast(
    _ cells: [TrainingJob], catalog: Catalog, memoryLimit: Int?
  ) throws -> any Foretold {
    try TrainingForecast(cells, catalog: catalog)
  }

  /// The peak of every number of threads, and the text of the first task that has one.
  /// - Throws: `ConfigurationError`; `TextError`.
  public static func means(for cells: [TrainingJob], in setting: RunSetting) throws -> RunMeans {
    var means = RunMeans()
    means.peaks = Set(cells.map(\.threadCount)).sorted().map {
      PeakNeed(threads: $0, instructionSet: InstructionSet.default.rawValue, precision: .float32)
    }
    means.text = try cells.first?.resolved(catalog: setting.catalog).task.text
    for same in cells.flatMap(\.auxiliary).grouped(by: \.self) where means.text == nil {
      means.text = try same.key.prepared().task.text
    }
    return means
  }

  /// In this process, one after another.
  public static func executor(of session: RunSession<Self>) -> any Executor<Self> {
    LocalTrainings(session)
  }

  /// Loss, accuracy and time, or what went wrong.
  public static func summary(of row: TrainingRow) -> String {
    guard row.isDone else { return row.reason }
    func text(_ value: Double?) -> String { value.map { Quantity.significant($0, 4) } ?? "–" }
    return "test loss \(text(row.testLoss)), accuracy \(text(row.testAccuracy)), \(text(row.seconds)) s"
  }

  /// Task, attention and id.
  public static func description(of row: TrainingRow) -> String {
    "\(row.task) with \(row.attention) (run_id \(row.runID))"
  }

  /// Comparison, laws with the commands that fit them again, and where everything is.
  public static func findings(
    _ rows: [TrainingRow], folder: String, pictures: [String]
  ) -> KindFindings {
    let comparison = TrainingComparison(rows)
    var text = comparison.text
    if !comparison.laws.isEmpty {
      let commands = comparison.laws.map { "  " + $0.command(file: folder + "/runs.csv") }
      text += "\n\nthe same fits:\n" + commands.joined(separator: "\n")
    }
    text += "\n\nrows:   \(folder)/runs.csv, \(folder)/curves.csv"
    if !pictures.isEmpty { text += "\nplots:  \(pictures.joined(separator: ", "))" }
    return KindFindings(
      text: text, comparison: comparison.json, plots: .array(pictures.map { .string($0) }))
  }

  /// The format of its table, and the view of two columns.
  public static let answers: Set<ResultsQuestion.Part> = [.format, .pareto]

  /// Trainings side by side, with their laws.
  /// - Throws: `UsageError` for a column that there is not.
  public static func comparison(
    of rows: [TrainingRow], _ question: ResultsQuestion
  ) throws -> ResultsAnswer {
    let comparison = TrainingComparison(rows)
    if let pareto = question.pareto {
      let series = comparison.lines.map { line in
        (
          label: [line.label, line.evaluation].filter { !$0.isEmpty }.joined(separator: ", "), rows: line.rows
        )
      }
      let view = try ParetoView([(title: "", series: series)], pareto)
      return ResultsAnswer(text: view.text(question.format), json: view.json, figure: view.figure)
    }
    return ResultsAnswer(text: comparison.text(question.format), json: comparison.json)
  }

  /// Laws, evaluations and curves.
  public static func pictureNames(_ question: ResultsQuestion) -> [String] { TrainingPlot.names }

  /// All figures that the trainings, and the curves beside them, allow.
  /// - Throws: `UsageError` when the curves cannot be read.
  public static func pictures(
    of rows: [TrainingRow], in file: String, _ question: ResultsQuestion
  ) throws -> [ReportSection.Picture] {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().relativePath
    let comparison = TrainingComparison(rows)
    guard !InputFile.isPipe(file) else { return TrainingPlot.pictures(comparison, curves: nil) }
    return TrainingPlot.pictures(
      comparison, curves: try curves(in: folder), steps: try steps(of: comparison, in: folder))
  }

  /// The steps in a folder, where they are those of one training; else none, for nobody draws them.
  static func steps(of comparison: TrainingComparison, in folder: String) throws(UsageError) -> [StepRow] {
    let file = folder + "/" + stepTable
    guard comparison.lines.count(where: { $0.rows[0].isTraining }) == 1,
      FileManager.default.fileExists(atPath: file)
    else { return [] }
    return try StepRow.read(file)
  }

  /// The curves in a folder; `nil`: there are none.
  static func curves(in folder: String) throws(UsageError) -> [CurveRow]? {
    let file = folder + "/" + curveTable
    return FileManager.default.fileExists(atPath: file) ? try CurveRow.read(file) : nil
  }

  /// Comparison, laws and pictures as a part of a page.
  /// - Throws: `UsageError`.
  public static func section(
    in folder: String, variants: Catalog
  ) throws(UsageError) -> ReportSection {
    try TrainingSection(folder: folder).section
  }
}

extension Preset {
  /// All trainings of all training experiments.
  public var trainings: [TrainingJob] { plans(of: TrainingExperiment.self).flatMap(\.plan.jobs) }
}
