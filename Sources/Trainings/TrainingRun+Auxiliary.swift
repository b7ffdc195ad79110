import Basics
import Foundation
import Models
import Records
import Tasks
import Training

/// What tables say of a training on several tasks.
extension TrainingRun {
  /// The trained model on the test split of every auxiliary task: a row each.
  /// - Throws: `TrainingDiverged`; what tasks and attention throw.
  public func auxiliaryRows() throws -> [TrainingRow] {
    try trainer.auxiliary.enumerated().map { place, other in
      let started = Date(), progress = trainer.progress[place + 1]
      let test = try trainer.evaluate(
        .test, batches: trainer.configuration.evaluationBatches, ofAuxiliary: place)
      guard test.sum.isFinite else { throw TrainingDiverged(step: trainer.step, what: "test loss") }
      var row = identity(started: started)
      (row.status, row.evaluation, row.steps) = (.ok, .auxiliary, trainer.step)
      (row.tokens, row.computeFlops) = (trainer.tokens, operationsDone)
      row.evaluationTask = other.task.configurationSummary
      let last = progress.evaluations.last
      (row.trainLoss, row.validationLoss) = (last?.trainLoss, last?.validationLoss)
      row.validationAccuracy = last?.validationAccuracy
      try row.note(test, of: other.task)
      row.entropyRate = other.task.entropyRate
      note(place + 1, in: &row)
      return row
    }
  }

  /// Says which task a row is of; nothing where there is one.
  /// - Parameters:
  ///   - number: 0 for the main task, from 1 on an auxiliary one.
  ///   - row: the row.
  func note(_ number: Int, in row: inout TrainingRow) {
    guard !trainer.auxiliary.isEmpty else { return }
    let progress = trainer.progress[number]
    (row.lossTask, row.role) = (name(of: number), number == 0 ? .main : .auxiliary)
    (row.taskSteps, row.taskTokens) = (progress.steps, progress.tokens)
    let part = trainer.auxiliary[max(0, number - 1)].part
    row.taskWeight = part.weight.map { number == 0 ? 1 : $0 }
    row.taskShare = part.share.map { _ in trainer.expectedSteps[number] }
  }

  /// What a task is called in tables.
  private func name(of number: Int) -> String {
    number == 0 ? job.task : trainer.auxiliary[number - 1].name
  }

  /// The rows of `steps.csv` of one step: one, or one of every task that it learned from.
  func stepRows(_ report: Trainer.StepReport, seconds: Double) -> [StepRow] {
    var row = StepRow()
    (row.runID, row.experiment, row.step, row.tokens) = (job.id, job.experiment, report.step, trainer.tokens)
    (row.loss, row.learningRate, row.gradientNorm) = (report.loss, report.learningRate, report.gradientNorm)
    row.seconds = seconds
    guard !report.losses.isEmpty else { return [row] }
    return report.losses.map { loss in
      var own = row
      own.loss = loss.loss
      (own.lossTask, own.role) = (loss.task ?? job.task, loss.task == nil ? .main : .auxiliary)
      return own
    }
  }

  /// The rows of `curves.csv` of one step: none without an evaluation, else one of every task.
  func curveRows(_ report: Trainer.StepReport, seconds: Double) -> [CurveRow] {
    guard let evaluation = report.evaluation else { return [] }
    let boundedMean = trainer.model.boundedMean
    return ([evaluation] + report.auxiliary).enumerated().map { number, evaluation in
      var row = CurveRow()
      (row.runID, row.experiment) = (job.id, job.experiment)
      (row.step, row.tokens) = (evaluation.step, trainer.tokens)
      row.computeFlops = operationsDone
      (row.learningRate, row.gradientNorm) = (report.learningRate, report.gradientNorm)
      (row.trainLoss, row.validationLoss) = (evaluation.trainLoss, evaluation.validationLoss)
      (row.validationAccuracy, row.seconds) = (evaluation.validationAccuracy, seconds)
      row.boundedMean = boundedMean
      if !report.auxiliary.isEmpty {
        (row.lossTask, row.role) = (name(of: number), number == 0 ? .main : .auxiliary)
      }
      return row
    }
  }
}
