import AttentionCore
import Foundation
import Tensors

/// Runs the trainings of a preset: a row of `runs.csv` as soon as it is known; finished ones are not run again.
public struct TrainingRunner {
  /// The trainings, in order.
  public let jobs: [TrainingJob]
  /// Where results go.
  public let folder: RunFolder
  /// The variants that exist.
  public let catalog: Catalog
  /// Threads of every training.
  public let threads: Int

  /// Creates a runner.
  public init(jobs: [TrainingJob], folder: RunFolder, catalog: Catalog, threads: Int) {
    (self.jobs, self.folder, self.catalog, self.threads) = (jobs, folder, catalog, threads)
  }

  /// Trains what is not trained yet. A training that fails is a row with its status and reason.
  /// - Returns: how many trainings were there already, and how many were added.
  /// - Throws: `UsageError` when a file cannot be read or written; `Interrupted`.
  public func run(
    interruption: Interruption, note: (String) -> Void, progress: (String) -> Void
  ) throws -> (kept: Int, added: Int) {
    let runs = folder.path + "/runs.csv", curves = folder.path + "/curves.csv"
    if FileManager.default.fileExists(atPath: runs) { _ = try RowWriter.repair(runs) }
    if FileManager.default.fileExists(atPath: curves) { _ = try RowWriter.repair(curves) }
    let done = try TrainingRunner.finished(runs)
    let rows = try RowWriter(path: runs, columns: TrainingRow.columns)
    let points = try RowWriter(path: curves, columns: CurveRow.columns)
    var kept = 0, added = 0
    for (index, job) in jobs.enumerated() {
      if done.contains(job.id) {
        kept += 1
        continue
      }
      let label = "[\(index + 1)/\(jobs.count)] \(TrainingRunner.label(job))"
      let checkpoint = folder.path + "/\(job.id).safetensors"
      do {
        let run = try TrainingRun(job, catalog: catalog, threads: threads)
        if FileManager.default.fileExists(atPath: checkpoint) { try run.trainer.resume(from: checkpoint) }
        let row = try run.run(checkpoint: checkpoint, interruption: interruption) {
          try points.append($0)
        } progress: {
          progress("\(label): \(TrainingRunner.line($0))")
        }
        for more in try run.evaluate(catalog: catalog) { try rows.append(more.fields) }
        try rows.append(row.fields)
        note("\(label): \(TrainingRunner.summary(row))")
      } catch let error as Interrupted { throw error } catch let error as UsageError { throw error } catch {
        note("\(label): \(error)")
        try rows.append(
          TrainingRow(values: [
            "run_id": job.id, "experiment": job.experiment, "task": job.task, "seed": "\(job.seed)",
            "status": "error", "reason": "\(error)", "evaluation": "test",
            "started_at": Date().formatted(.iso8601),
          ]).fields)
      }
      try? FileManager.default.removeItem(atPath: checkpoint)
      added += 1
    }
    return (kept, added)
  }

  /// The ids of trainings with a final row.
  static func finished(_ path: String) throws -> Set<String> {
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    let table = try CSVTable(contentsOf: path)
    guard let id = table.header.firstIndex(of: "run_id"), let kind = table.header.firstIndex(of: "evaluation")
    else {
      throw UsageError("\(path): no runs.csv of this program; choose another folder with --out, or --fresh")
    }
    return Set(table.rows.filter { $0[kind] == "test" }.map { $0[id] })
  }

  static func label(_ job: TrainingJob) -> String {
    let settings =
      job.modelSettings.map { ("model.\($0.key)", $0.value) }
      + job.taskSettings.map { ("task.\($0.key)", $0.value) }
      + job.trainingSettings.filter { $0.key == "steps" }.map { ("training.\($0.key)", $0.value) }
    return "\(job.task) " + settings.sorted { $0.0 < $1.0 }.map { "\($0.0)=\($0.1)" }.joined(separator: " ")
      + " seed=\(job.seed)"
  }

  /// Where a training stands, in one line.
  public static func line(_ progress: TrainingRun.Progress) -> String {
    let share = progress.fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of peak" } ?? ""
    return "step \(progress.step)/\(progress.steps), loss \(Quantity.significant(progress.loss, 4)), "
      + "\(Quantity.significant(progress.tokensPerSecond, 3)) tokens/s\(share), "
      + "\(Quantity.describe(seconds: progress.secondsLeft)) left"
  }

  private static func summary(_ row: TrainingRow) -> String {
    func value(_ column: String) -> String {
      row.values[column].flatMap { Double($0) }.map { Quantity.significant($0, 4) } ?? "–"
    }
    return
      "validation loss \(value("validation_loss")), test accuracy \(value("test_accuracy")), \(value("seconds")) s"
  }
}
