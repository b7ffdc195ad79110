import ArrayFiles
import Basics
import Foundation
import Presets
import Records

/// Trains in this process, one after another; a training that was stopped goes on from its checkpoint in the folder.
struct LocalTrainings: Executor {
  private let session: RunSession<TrainingExperiment>

  init(_ session: RunSession<TrainingExperiment>) { self.session = session }

  /// The rows of trainings as they end: those of further evaluations, then its own.
  func rows(
    of cells: [TrainingJob], in folder: RunFolder
  ) -> AsyncThrowingStream<FinishedCell<TrainingExperiment>, any Error> {
    let queue = TrainingQueue(cells, session, folder)
    return AsyncThrowingStream { try await queue.next() }
  }
}

/// The trainings that are left.
private actor TrainingQueue {
  private var left: ArraySlice<TrainingJob>
  private let session: RunSession<TrainingExperiment>
  private let folder: RunFolder
  /// What the training before went on from; once its rows are written it is of no use.
  private var obsolete: [String] = []

  init(_ jobs: [TrainingJob], _ session: RunSession<TrainingExperiment>, _ folder: RunFolder) {
    (left, self.session, self.folder) = (jobs[...], session, folder)
  }

  func next() throws -> FinishedCell<TrainingExperiment>? {
    for file in obsolete { try? FileManager.default.removeItem(atPath: file) }
    guard let job = left.popFirst() else { return nil }
    try session.checkInterruption()
    let checkpoint = folder.path + "/\(job.id).safetensors"
    obsolete = [checkpoint, TrainingRun.clock(checkpoint)]
    do {
      return FinishedCell(job, try train(job, checkpoint))
    } catch let error as Interrupted {
      throw error
    } catch let error as UsageError {
      throw error
    } catch let error as SafetensorsError {
      throw UsageError("\(error)")
    } catch {
      var row = TrainingRow(job, started: Date())
      (row.status, row.reason) = (.error, "\(error)")
      return FinishedCell(job, [row])
    }
  }

  private func train(_ job: TrainingJob, _ checkpoint: String) throws -> [TrainingRow] {
    let setting = session.setting, title = session.title(of: job)
    let peak = session.peaks.first { $0.threads == job.threadCount }
    var run = try TrainingRun(
      job, catalog: setting.catalog, threads: job.threadCount, peakGflops: peak?.gflops)
    if FileManager.default.fileExists(atPath: checkpoint) { try run.resume(from: checkpoint) }
    let recorder = try TrainingRecorder(of: job.id, after: run.trainer.step, in: folder)
    let prediction = job.isHeldOut ? try predict(run) : nil
    if let prediction { setting.note("\(title): predicted before it is made: \(prediction.text)") }
    var row = try run.run(
      checkpoint: checkpoint, interruption: setting.interruption, recorder: recorder
    ) {
      session.show($0.brief, secondsLeft: $0.secondsLeft)
    }
    prediction?.store(in: &row)
    return try run.evaluate() + run.auxiliaryRows() + [row]
  }

  private func predict(_ run: TrainingRun) throws -> TrainingLaw.HeldOut? {
    let rows = FileManager.default.fileExists(atPath: folder.runs) ? try TrainingRow.read(folder.runs) : []
    let trainer = run.trainer
    let own = run.identity(started: Date())
    return TrainingLaw.predict(
      [
        "parameters": Double(trainer.model.parameterCount),
        "tokens": run.planned.tokens,
        "compute_flops": run.operations,
        "task.length": TrainingLaw.length(of: own).map { Double($0) } ?? .nan,
      ], of: own, from: TrainingLaw.all(in: rows))
  }
}
