import ArrayFiles
import AttentionCore
import Basics
import Foundation
import Presets
import Processes
import Records
import Tensors

/// Runs the trainings of a preset: a row of `runs.csv` as soon as it is known; finished ones are not run again, and
/// one that was stopped goes on from its checkpoint.
public struct TrainingRunner {
  /// The preset that they belong to.
  public let preset: Preset
  /// The trainings, in order.
  public let jobs: [TrainingJob]
  /// Where results go.
  public let folder: RunFolder
  /// The variants that exist.
  public let catalog: Catalog

  private let retries: Bool

  /// Creates a runner.
  /// - Parameters:
  ///   - preset: what is run.
  ///   - jobs: all trainings of the preset, or a part of them; `nil`: all.
  ///   - folder: where rows and checkpoints go.
  ///   - catalog: the attention variants that it may name.
  ///   - retries: trainings that failed are run again.
  public init(
    preset: Preset, jobs: [TrainingJob]? = nil, folder: RunFolder, catalog: Catalog, retries: Bool = false
  ) {
    (self.preset, self.folder, self.catalog, self.retries) = (preset, folder, catalog, retries)
    self.jobs = jobs ?? preset.trainings
  }

  /// What a run found and did.
  public struct Outcome: Sendable {
    /// Trainings that were there already.
    public let kept: Int
    /// Trainings that were added.
    public let added: Int
    /// All rows, as in the file.
    public let rows: [TrainingRow]
  }

  /// Trains what is not trained yet. A training that fails is a row with its status and reason.
  /// - Throws: `UsageError` when the folder holds another run, or a file cannot be read or written; `Interrupted`.
  public func run(
    interruption: Interruption, note: (String) -> Void, progress: (String) -> Void
  ) async throws -> Outcome {
    try folder.check(for: preset)
    let commit = await Tool.commit(anchors: [preset.file])
    let done = try tidy(commit)
    let todo = jobs.enumerated().filter { !done.contains($0.element.id) }
    if !todo.isEmpty {
      let peaks = try await record(todo.map(\.element))
      try train(todo, peaks, commit ?? "", interruption, note, progress)
    }
    return Outcome(
      kept: jobs.count - todo.count, added: todo.count,
      rows: RowOrigin(beside: folder.runs).filled(try TrainingRow.read(folder.runs)))
  }

  /// Removes what a killed run can leave: torn lines, rows of a training without its final row, and points of a
  /// curve beyond the checkpoint, which will be made again.
  /// - Returns: the ids of finished trainings.
  private func tidy(_ commit: String?) throws -> Set<String> {
    for file in [folder.runs, folder.curves] where FileManager.default.fileExists(atPath: file) {
      _ = try RowWriter.repair(file)
      // Nothing but a torn header: the file begins anew.
      if FileManager.default.contents(atPath: file)?.isEmpty == true {
        try? FileManager.default.removeItem(atPath: file)
      }
    }
    guard FileManager.default.fileExists(atPath: folder.runs) else { return [] }
    let rows = RowOrigin(beside: folder.runs).filled(try TrainingRow.read(folder.runs))
    let all = Set(preset.trainings.map(\.id))
    if let unknown = rows.first(where: { !all.contains($0.runID) }) {
      throw UsageError(
        "\(folder.runs): \(unknown.task) with \(unknown.attention) (run_id \(unknown.runID)) is no training"
          + " of \(preset.file) as it is now: the preset or its --set flags have changed; \(RunFolder.remedy)"
      )
    }
    try EnvironmentRecord.checkMachine(of: folder)
    let rule = RetryRule(
      record: nil, memoryLimit: 0, timeLimit: nil, commit: commit, isForced: retries)
    let done = Set(rows.filter { $0.isTraining && !rule.trainsAgain($0) }.map(\.runID))
    if rows.contains(where: { !done.contains($0.runID) }) {
      let kept = rows.filter { done.contains($0.runID) }
      try RunFolder.replace(
        folder.runs, with: ([TrainingRow.columns] + kept.map(\.fields)).map(CSVTable.line).joined())
    }
    return done
  }

  /// Writes `environment.json` and measures what fractions are fractions of.
  private func record(_ jobs: [TrainingJob]) async throws -> [Int: Double] {
    let set = InstructionSet.default.rawValue
    let peaks = Set(jobs.map(Self.threads(of:))).sorted().compactMap { threads in
      MachinePeak.measure(threads: threads, instructionSet: set, seconds: 0.4).map {
        EnvironmentRecord.Peak(
          threads: threads, instructionSet: set, precision: .float32, gflops: $0.peakFlopsAllThreads / 1e9,
          bandwidth: $0.bandwidthAllThreads / 1e9)
      }
    }
    let text = try jobs.first.flatMap { try $0.resolved(catalog: catalog).task.text }
    try await EnvironmentRecord.add(
      .init(preset), text: text, peaks: peaks, memoryLimit: preset.memoryLimit ?? ProcessMemory.machineBytes,
      timeLimit: preset.timeLimit, to: folder)
    return Dictionary(peaks.map { ($0.threads, $0.gflops) }) { first, _ in first }
  }

  private func train(
    _ todo: [(offset: Int, element: TrainingJob)], _ peaks: [Int: Double], _ commit: String,
    _ interruption: Interruption, _ note: (String) -> Void, _ progress: (String) -> Void
  ) throws {
    for (index, job) in todo {
      let label = "[\(index + 1)/\(jobs.count)] \(Self.label(job, among: jobs))"
      let checkpoint = folder.path + "/\(job.id).safetensors"
      do {
        let threads = Self.threads(of: job)
        var run = try TrainingRun(job, catalog: catalog, threads: threads, peakGflops: peaks[threads])
        if FileManager.default.fileExists(atPath: checkpoint) { try run.resume(from: checkpoint) }
        try CurveFile.cut(folder.curves, after: run.trainer.step, of: job.id)
        let prediction = job.isHeldOut ? try predict(run) : nil
        if let prediction { note("\(label): predicted before it is made: \(prediction.text)") }
        let points = try RowWriter(path: folder.curves, of: CurveRow.self)
        var row = try run.run(checkpoint: checkpoint, interruption: interruption) {
          try points.append($0)
        } progress: {
          progress("\(label): \(Self.line($0))")
        }
        prediction?.store(in: &row)
        try append(try run.evaluate(catalog: catalog) + [row], commit)
        note("\(label): \(Self.summary(row))")
      } catch let error as Interrupted {
        throw error
      } catch let error as UsageError {
        throw error
      } catch let error as SafetensorsError {
        throw UsageError("\(error)")
      } catch {
        note("\(label): \(error)")
        var row = TrainingRow(job, started: Date())
        (row.status, row.reason) = (.error, "\(error)")
        try append([row], commit)
      }
      for file in [checkpoint, TrainingRun.clock(checkpoint)] {
        try? FileManager.default.removeItem(atPath: file)
      }
    }
  }

  private func append(_ rows: [TrainingRow], _ commit: String) throws(UsageError) {
    let writer = try RowWriter(path: folder.runs, of: TrainingRow.self)
    for var row in rows {
      row.commit = commit
      try writer.append(row)
    }
  }

  private func predict(_ run: TrainingRun) throws -> TrainingLaw.HeldOut? {
    let rows = FileManager.default.fileExists(atPath: folder.runs) ? try TrainingRow.read(folder.runs) : []
    let steps = Double(run.trainer.configuration.steps), trainer = run.trainer
    let tokens = try trainer.task.batch(split: .train, index: 0, batchSize: trainer.configuration.batch)
      .inputs.count
    return TrainingLaw.predict(
      [
        "parameters": Double(trainer.model.parameterCount),
        "tokens": steps * Double(tokens * trainer.configuration.accumulation),
        "compute_flops": run.operations,
      ], from: TrainingLaw.all(in: rows))
  }

  private static func threads(of job: TrainingJob) -> Int { job.threads ?? Parallel.processorCount }

  /// The settings of a training in which those of a preset differ.
  static func label(_ job: TrainingJob, among jobs: [TrainingJob]) -> String {
    let all = jobs.map(\.settings)
    let own = job.settings.filter { entry in all.contains { $0[entry.key] != entry.value } }
    let parts = own.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    return ([job.task] + parts).joined(separator: " ")
  }

  /// Where a training stands, in one line.
  public static func line(_ progress: TrainingRun.Progress) -> String {
    let share = progress.fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of peak" } ?? ""
    return "step \(progress.step)/\(progress.steps), loss \(Quantity.significant(progress.loss, 4)), "
      + "\(Quantity.significant(progress.tokensPerSecond, 3)) tokens/s\(share), "
      + "\(Quantity.describe(seconds: progress.secondsLeft)) left"
  }

  private static func summary(_ row: TrainingRow) -> String {
    func text(_ value: Double?) -> String { value.map { Quantity.significant($0, 4) } ?? "–" }
    return "test loss \(text(row.testLoss)), accuracy \(text(row.testAccuracy)), \(text(row.seconds)) s"
  }
}
