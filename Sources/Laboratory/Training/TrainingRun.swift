import AttentionCore
import Foundation
import Tasks
import Tensors
import Transformer

/// Carries out one training: steps with progress, curves as they come, the final row.
public struct TrainingRun {
  /// What is trained.
  public let job: TrainingJob
  /// The trainer, at its start or resumed.
  public let trainer: Trainer
  /// Threads in use.
  public let threads: Int
  private let operationsPerStep: Double
  private let peak: Double?

  /// Operations of all steps.
  public var operations: Double { operationsPerStep * Double(trainer.configuration.steps) }

  /// Where a training stands.
  public struct Progress: Sendable {
    /// The step.
    public let step: Int
    /// Steps in all.
    public let steps: Int
    /// The training loss of the step.
    public let loss: Double
    /// Tokens a second since the start of this session.
    public let tokensPerSecond: Double
    /// The share of the machine's peak, where that is known.
    public let fractionOfPeak: Double?
    /// Seconds that are left at this pace.
    public let secondsLeft: Double
    /// The evaluation of this step, if there was one.
    public let evaluation: Trainer.Evaluation?
  }

  /// Builds task, model and trainer.
  /// - Throws: `ConfigurationError` and others before any time is spent.
  public init(_ job: TrainingJob, catalog: Catalog, threads: Int) throws {
    self.job = job
    self.threads = threads
    var (task, model, training) = try job.resolved(catalog: catalog)
    let network = try TransformerModel(model, catalog: catalog, compute: Compute(threads: threads))
    let probe = ModelInput(try task.batch(split: .train, index: 0, batchSize: training.batch))
    operationsPerStep = try network.trainingOperations(probe) * Double(training.accumulation)
    if let compute = job.compute { training.steps = max(1, Int((compute / operationsPerStep).rounded())) }
    trainer = try Trainer(model: network, task: task, configuration: training)
    peak = MachinePeak.gflops(threads: threads, instructionSet: InstructionSet.default.rawValue)
  }

  /// Trains until the end, early stop, or a request to stop.
  /// - Parameters:
  ///   - checkpoint: a file written every `checkpointEvery` steps and when interrupted.
  ///   - curve: called with the fields of every row of `curves.csv`.
  /// - Returns: the row of `runs.csv`.
  /// - Throws: `Interrupted` after saving; `TrainingDiverged`; what tasks and attention throw.
  public func run(
    checkpoint: String? = nil, interruption: Interruption, curve: ([String]) throws -> Void,
    progress: (Progress) -> Void
  ) throws -> TrainingRow {
    let started = Date(), clock = ContinuousClock(), start = clock.now
    let firstStep = trainer.step, firstTokens = trainer.tokens
    var trainSeconds = 0.0
    while !trainer.isFinished {
      if interruption.isRequested {
        if let checkpoint { try trainer.save(to: checkpoint) }
        throw Interrupted()
      }
      let before = clock.now
      let report = try trainer.advance()
      if report.evaluation == nil { trainSeconds += (clock.now - before).seconds }
      let elapsed = (clock.now - start).seconds, done = trainer.step - firstStep
      let rate = Double(trainer.tokens - firstTokens) / elapsed
      progress(
        Progress(
          step: trainer.step, steps: trainer.configuration.steps, loss: report.loss, tokensPerSecond: rate,
          fractionOfPeak: peak.map { operationsPerStep * Double(done) / elapsed / ($0 * 1e9) },
          secondsLeft: elapsed / Double(done) * Double(trainer.configuration.steps - trainer.step),
          evaluation: report.evaluation))
      if let evaluation = report.evaluation {
        try curve([
          job.id, job.experiment, "\(evaluation.step)", "\(evaluation.tokens)",
          TrainingRow.text(operationsPerStep * Double(evaluation.step)),
          TrainingRow.text(report.learningRate),
          TrainingRow.text(evaluation.trainLoss), TrainingRow.text(evaluation.validationLoss),
          TrainingRow.text(evaluation.validationAccuracy), TrainingRow.text(report.gradientNorm),
          TrainingRow.text(elapsed),
        ])
      }
      let every = trainer.configuration.checkpointEvery
      if let checkpoint, every > 0, trainer.step % every == 0 { try trainer.save(to: checkpoint) }
    }
    if let checkpoint { try trainer.save(to: checkpoint) }
    let seconds = (clock.now - start).seconds
    return try row(seconds: seconds, tokens: trainer.tokens - firstTokens, started: started)
  }

  private func row(seconds: Double, tokens: Int, started: Date) throws -> TrainingRow {
    let test = try trainer.evaluate(.test, batches: trainer.configuration.evaluationBatches)
    var values = identity(started: started)
    let last = trainer.evaluations.last
    values["status"] = "ok"
    values["tokens"] = "\(trainer.tokens)"
    values["compute_flops"] = TrainingRow.text(operationsPerStep * Double(trainer.step))
    values["steps"] = "\(trainer.step)"
    values["train_loss"] = TrainingRow.text(last?.trainLoss)
    values["validation_loss"] = TrainingRow.text(last?.validationLoss)
    values["validation_accuracy"] = TrainingRow.text(last?.validationAccuracy)
    values["test_loss"] = TrainingRow.text(test.mean)
    values["test_accuracy"] = TrainingRow.text(test.accuracy)
    values["seconds"] = TrainingRow.text(seconds)
    values["tokens_per_second"] = TrainingRow.text(Double(tokens) / seconds)
    let share = Double(tokens) / Double(max(1, trainer.tokens))
    values["fraction_of_peak"] = TrainingRow.text(
      peak.map { operationsPerStep * Double(trainer.step) * share / seconds / ($0 * 1e9) })
    return TrainingRow(values: values)
  }

  /// What a row says before anything is trained.
  func identity(started: Date) -> [String: String] {
    let model = trainer.model
    return [
      "run_id": job.id, "experiment": job.experiment, "task": job.task,
      "task_configuration": trainer.task.configurationSummary, "attention": model.configuration.attention,
      "model_configuration": model.configuration.summary,
      "training_configuration": trainer.configuration.summary,
      "seed": "\(job.seed)", "parameters": "\(model.parameterCount)",
      "parameters_non_embedding": "\(model.nonEmbeddingParameterCount)",
      "entropy_rate": TrainingRow.text(trainer.task.entropyRate), "threads": "\(threads)",
      "isa": InstructionSet.default.rawValue, "evaluation": "test",
      "started_at": started.formatted(.iso8601),
    ]
  }

  /// The trained model under other conditions: a row each, with the test loss and accuracy.
  /// - Throws: `ConfigurationError`; what tasks and attention throw.
  public func evaluate(catalog: Catalog) throws -> [TrainingRow] {
    try job.evaluations.map { evaluation in
      let started = Date()
      let model = try evaluation.attention.map { try trainer.model.replacingAttention($0) } ?? trainer.model
      var other = job
      other.taskSettings.merge(evaluation.taskSettings) { $1 }
      let task = try TaskCatalog.standard.make(
        other.task, settings: other.taskSettings, key: TrainingJob.taskKey)
      let judge = try Trainer(model: model, task: task, configuration: trainer.configuration)
      let loss = try judge.evaluate(.test, batches: evaluation.batches)
      var values = identity(started: started)
      values["status"] = "ok"
      values["steps"] = "\(trainer.step)"
      values["test_loss"] = TrainingRow.text(loss.mean)
      values["test_accuracy"] = TrainingRow.text(loss.accuracy)
      values["evaluation"] = "changed"
      values["evaluation_attention"] = model.configuration.attention
      values["evaluation_task"] = task.configurationSummary
      return TrainingRow(values: values)
    }
  }
}
