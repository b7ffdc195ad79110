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

extension TrainingRun {
  /// The trained model under other conditions: a row each, with the test loss and accuracy.
  /// - Throws: `ConfigurationError`; what tasks and attention throw.
  public func evaluate(catalog: Catalog) throws -> [TrainingRow] {
    try job.evaluations.map { evaluation in
      let started = Date()
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
      let judge = try Trainer(model: model, task: task, configuration: configuration)
      let probe = ModelInput(
        try task.batch(split: .test, index: 0, batchSize: trainer.configuration.batch))
      var row = identity(started: started)
      let before = (task as? any WayCounting)?.count
      try row.note(
        judge.evaluate(.test, batches: evaluation.batches, memory: evaluation.memory), of: task)
      row.note(task, since: before)
      row.attentionBytes = try model.attentionBytes(probe, pass: .forward)
      row.cacheBytes = try model.cacheBytes(after: task.length)
      (row.status, row.steps, row.evaluation) = (.ok, trainer.step, .changed)
      note(0, in: &row)
      row.evaluationAttention = model.configuration.attention
      row.evaluationMemory = evaluation.memory
      row.evaluationRotary = evaluation.rotary ?? ""
      row.evaluationTask = task.configurationSummary
      return row
    }
  }
}
