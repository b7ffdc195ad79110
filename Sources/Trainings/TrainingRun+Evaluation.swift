import AttentionCore
import Basics
import Foundation
import ImageTasks
import LongText
import Models
import Presets
import Records
import Settings
import Tasks
import Training

/// A model under the conditions of one evaluation of its training, ready to be asked.
struct ChangedConditions {
  /// The model, with other attention or rotations where the evaluation names some.
  let model: TransformerModel
  /// What is asked.
  let task: any SequenceTask
  /// Asks it.
  let judge: Trainer
  /// The first batch.
  let probe: ModelInput
}

extension TrainingRun {
  /// The model, as far as it is trained, under the conditions of an evaluation.
  /// - Throws: `ConfigurationError`; what tasks throw.
  func conditions(of evaluation: TrainingEvaluation) throws -> ChangedConditions {
    let isChanged = evaluation.attention != nil || evaluation.rotary != nil
    let model =
      isChanged
      ? try trainer.model.replacingAttention(evaluation.attention, rotary: evaluation.rotary)
      : trainer.model
    var other = job
    other.taskSettings.merge(evaluation.taskSettings) { $1 }
    let task = try TaskCatalog.standard.prepared(
      other.task, settings: other.taskSettings, key: TrainingJob.taskKey)
    var configuration = trainer.configuration
    configuration.curriculum = ""
    return ChangedConditions(
      model: model, task: task,
      judge: try Trainer(model: model, task: task, configuration: configuration),
      probe: ModelInput(try task.batch(split: .test, index: 0, batchSize: configuration.batch)))
  }

  /// The trained model under other conditions: a row each, with the test loss and accuracy.
  /// - Throws: `ConfigurationError`; what tasks and attention throw.
  public func evaluate() throws -> [TrainingRow] {
    try job.evaluations.map { evaluation in
      let started = Date()
      let changed = try conditions(of: evaluation), task = changed.task
      var row = identity(started: started)
      let before = (task as? any WayCounting)?.count
      try row.note(
        changed.judge.evaluate(.test, batches: evaluation.batches, memory: evaluation.memory), of: task)
      row.note(task, since: before)
      row.attentionBytes = try changed.model.attentionBytes(changed.probe, pass: .forward)
      row.cacheBytes = try changed.model.cacheBytes(after: task.length)
      (row.status, row.steps, row.evaluation) = (.ok, trainer.step, .changed)
      note(0, in: &row)
      row.evaluationAttention = changed.model.configuration.attention
      row.evaluationMemory = evaluation.memory
      row.evaluationRotary = evaluation.rotary ?? ""
      row.evaluationTask = task.configurationSummary
      return row
    }
  }
}
