import AttentionCore
import Basics
import Foundation
import ImageTasks
import LongText
import Models
import Training
import Presets
import Pretrained
import Processes
import Ranks
import Records
import Settings
import Tasks
import Tensors

/// Carries out one training: steps with progress, curves as they come, the final row.
public struct TrainingRun {
  /// What is trained.
  public let job: TrainingJob
  /// The trainer, at its start or resumed.
  public let trainer: Trainer
  /// Threads in use.
  public let threads: Int
  /// Operations of a step of every task, the main one first.
  private let operationsOfTasks: [Double]
  /// Operations and tokens of a step of every stage of the curriculum, and of the steps behind it.
  private let costs: [(operations: Double, tokens: Double)]
  let attentionBytes: Double
  private let peakGflops: Double?
  /// Seconds of earlier sessions of the same training.
  private var secondsBefore = 0.0

  /// Operations of a step behind the curriculum, of tasks that have shares of the steps on average.
  private var operationsPerStep: Double { Self.operations(operationsOfTasks, trainer.expectedSteps) }

  /// Operations of training on one batch of the main task, behind the curriculum.
  var operationsPerBatch: Double { operationsOfTasks[0] / Double(trainer.configuration.accumulation) }

  /// Operations of so many steps of every task.
  private static func operations(_ ofTasks: [Double], _ steps: [Double]) -> Double {
    zip(ofTasks, steps).reduce(0) { $0 + $1.0 * $1.1 }
  }

  /// Operations of the steps so far.
  var operationsDone: Double {
    trainer.auxiliary.isEmpty
      ? cost(ofFirst: trainer.step).operations
      : Self.operations(operationsOfTasks, trainer.progress.map { Double($0.steps) })
  }

  /// Operations of all steps.
  public var operations: Double {
    trainer.auxiliary.isEmpty
      ? planned.operations : operationsPerStep * Double(trainer.configuration.steps)
  }

  /// Operations and tokens of all steps on the main task.
  var planned: (operations: Double, tokens: Double) { cost(ofFirst: trainer.configuration.steps) }

  /// Operations and tokens of the first steps, those of stages by their own costs.
  private func cost(ofFirst steps: Int) -> (operations: Double, tokens: Double) {
    var left = steps, sum = (operations: 0.0, tokens: 0.0)
    for (place, cost) in costs.enumerated() {
      let count = place < trainer.stages.count ? min(left, trainer.stages[place].stage.steps) : left
      sum.operations += cost.operations * Double(count)
      sum.tokens += cost.tokens * Double(count)
      left -= count
    }
    return sum
  }

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
    /// The fraction of the machine's peak, where that is known.
    public let fractionOfPeak: Double?
    /// Seconds that are left at this pace.
    public let secondsLeft: Double
    /// The evaluation of this step, if there was one.
    public let evaluation: Trainer.Evaluation?

    /// Step and loss.
    public var brief: String { "step \(step)/\(steps), loss \(Quantity.significant(loss, 4))" }

    /// All of that in one line.
    public var text: String {
      let share = fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of peak" } ?? ""
      return "step \(step)/\(steps), loss \(Quantity.significant(loss, 4)), "
        + "\(Quantity.significant(tokensPerSecond, 3)) tokens/s\(share), "
        + (step < steps ? "\(Quantity.describe(seconds: secondsLeft)) left" : "done")
    }
  }

  /// Builds task, model and trainer.
  /// - Parameters:
  ///   - job: what is trained.
  ///   - catalog: the attention variants that it may name.
  ///   - threads: how many work on it; no result depends on them.
  ///   - peakGflops: what fractions are fractions of: the machine's peak with these threads.
  ///   - communicator: the ranks that share the rows of every step, each with such a run; `nil`: this process has all.
  /// - Throws: `ConfigurationError` and others before any time is spent.
  public init(
    _ job: TrainingJob, catalog: Catalog, threads: Int, peakGflops: Double? = nil,
    communicator: (any Communicator)? = nil
  ) throws {
    self.job = job
    self.threads = threads
    self.peakGflops = peakGflops
    var (task, auxiliary, model, training, planned) = try job.resolved(catalog: catalog)
    for one in [task] + auxiliary.map(\.task) {
      try Self.checkMemory(model, task: one, batch: training.batch)
    }
    for (stage, task) in planned {
      try Self.checkMemory(model, task: task, batch: stage.batch ?? training.batch)
    }
    let network = try TransformerModel(model, catalog: catalog, context: .limited(threads: threads))
    if !training.start.isEmpty {
      let other = try PretrainedModel(contentsOf: training.start, catalog: catalog, context: network.context)
      try network.start(from: other.model, at: training.start)
    }
    let probes = try Self.probes(task, auxiliary, batch: training.batch)
    let passes = Double(training.accumulation)
    operationsOfTasks = try probes.map { try network.trainingOperations($0) * passes }
    let stages = try planned.map { try TrainingStage($0.stage, task: $0.task, of: network) }
    let readers = try stages.map { stage in
      let batch = stage.stage.batch ?? training.batch
      return (stage.model, try Self.probes(stage.task, [], batch: batch)[0])
    }
    costs = try (readers + [(network, probes[0])]).map { model, probe in
      (try model.trainingOperations(probe) * passes, Double(probe.tokens.count) * passes)
    }
    attentionBytes =
      try (readers + probes.map { (network, $0) }).map { try $0.attentionBytes($1, pass: .backward) }.max()
      ?? 0
    if let compute = job.compute {
      let step = Self.operations(operationsOfTasks, AuxiliaryTask.expectedSteps(auxiliary))
      let first = zip(stages, costs).reduce(0) { $0 + Double($1.0.stage.steps) * $1.1.operations }
      guard compute > first else {
        throw ConfigurationError(
          field: "compute", value: "\(compute)",
          allowed: "more than the \(Quantity.significant(first, 3)) operations of the curriculum")
      }
      let steps =
        Double(stages.reduce(0) { $0 + $1.stage.steps }) + max(1, ((compute - first) / step).rounded())
      guard steps <= Self.mostSteps else {
        throw ConfigurationError(
          field: "compute", value: "\(compute)",
          allowed: "at most \(Quantity.significant(Self.mostSteps * step, 3)) for this model, "
            + "\(Quantity.significant(Self.mostSteps, 3)) steps")
      }
      training.steps = Int(steps)
    }
    if communicator != nil, training.gradientSum == .passes { training.gradientSum = .rows }
    trainer = try Trainer(
      model: network, task: task, auxiliary: auxiliary, stages: stages, configuration: training,
      communicator: communicator)
  }

  /// The first batch of every task, the main one first.
  private static func probes(
    _ task: any SequenceTask, _ auxiliary: [AuxiliaryTask], batch: Int
  ) throws -> [ModelInput] {
    let main = ModelInput(try task.batch(split: .train, index: 0, batchSize: batch))
    return try [main]
      + auxiliary.map { other in
        var input = ModelInput(try other.task.batch(split: .train, index: 0, batchSize: batch))
        input.task = other.name
        return input
      }
  }

  /// Whether this rank writes what is kept: the first does, of one process it.
  public var isRecorder: Bool { (trainer.communicator?.rank ?? 0) == 0 }

  /// Steps that a budget of operations may come to; more is a slip of the pen.
  private static let mostSteps = 1e12

  /// Refuses a batch that cannot fit before any of it is made: tokens, and for every token what the layers keep for the
  /// backward pass and the probabilities of the vocabulary, float32, at the least.
  private static func checkMemory(_ model: ModelConfiguration, task: any SequenceTask, batch: Int) throws {
    let tokens = Double(batch) * Double(task.length + task.sourceLength)
    let classes = model.classes > 0 ? 0 : model.vocabulary
    // Of a memory its rows, their norm, keys and values.
    let past =
      4 * Double(batch) * Double(model.memory) * Double(model.storedBlocks) * Double(model.width)
      + 2 * Double(batch) * Double(model.stored) * Double(model.effectiveKeyHeads * model.headDim)
    let bytes =
      4 * (tokens * (Double(classes) + model.storedElements + 4) + past)
    let limit = Double(ProcessMemory.defaultLimit)
    guard bytes > limit else { return }
    let most = Int(Double(batch) * limit / bytes)
    let need =
      "needs \(Quantity.describe(bytes: bytes)) or more, \(Quantity.describe(bytes: limit)) are allowed"
    throw ConfigurationError(
      field: "batch", value: "\(batch)",
      allowed: most < 1
        ? "no batch at all here: not one row of this model and length fits (this batch \(need))"
        : "at most about \(most) here: this one \(need) (accumulation cuts a batch into passes)")
  }

  /// The files of one training's folder.
  public static let resultFiles =
    [checkpointFile, clock(checkpointFile), modelFile, TrainingDescription.file, RunFolder.environmentName]
    + TrainingExperiment.tables.map(\.name) + [Report.file, Report.card]
  /// Where `attnlab train` keeps the model.
  public static let modelFile = "model.safetensors"
  /// Where `attnlab train` keeps what it goes on from.
  public static let checkpointFile = RunFolder.checkpoint

  /// Continues from a checkpoint that `run` wrote.
  /// - Parameters:
  ///   - checkpoint: the file.
  ///   - extending: whether the training may have another end than the one that wrote it.
  /// - Throws: `SafetensorsError` when it belongs to another training.
  public mutating func resume(from checkpoint: String, extending: Bool = false) throws {
    try trainer.resume(from: checkpoint, extending: extending)
    secondsBefore =
      (try? String(contentsOfFile: Self.clock(checkpoint), encoding: .utf8)).flatMap(Double.init) ?? 0
  }

  /// The file beside a checkpoint that says how long the training has taken so far.
  static func clock(_ checkpoint: String) -> String { checkpoint + ".seconds" }

  private func save(to checkpoint: String, after seconds: Double, _ recorder: TrainingRecorder?) throws {
    guard isRecorder else { return }
    try recorder?.flush()
    try trainer.save(to: checkpoint)
    try RunFolder.replace(Self.clock(checkpoint), with: "\(secondsBefore + seconds)")
  }

  /// Trains until the end, early stop, or a request to stop.
  /// - Parameters:
  ///   - checkpoint: a file written twice a minute, every `checkpointEvery` steps, and when interrupted.
  ///   - interruption: asks the training to stop.
  ///   - recorder: writes steps and evaluations down; `nil`: nobody does.
  ///   - progress: called after every step.
  /// - Returns: the row of `runs.csv`.
  /// - Throws: `Interrupted` after saving, on every rank; `TrainingDiverged`; what tasks and attention throw; `RankFailure`.
  public func run(
    checkpoint: String? = nil, interruption: Interruption, recorder: TrainingRecorder? = nil,
    progress: (Progress) -> Void
  ) throws -> TrainingRow {
    let started = Date(), clock = ContinuousClock(), start = clock.now
    var pace = TrainingPace(), saved = start
    try trainer.checkAgreement()
    while !trainer.isFinished {
      // All ranks end after the same step, whichever of them was told.
      if try trainer.anyRank(interruption.isRequested) {
        if let checkpoint { try save(to: checkpoint, after: (clock.now - start).seconds, recorder) }
        try recorder?.flush()
        throw Interrupted()
      }
      let before = clock.now
      let report = try trainer.advance()
      pace.add(tokens: report.tokens, seconds: (clock.now - before).seconds, report.evaluation != nil)
      let elapsed = (clock.now - start).seconds
      progress(
        Progress(
          step: trainer.step, steps: trainer.configuration.steps, loss: report.loss,
          tokensPerSecond: pace.tokensPerSecond, fractionOfPeak: fractionOfPeak(pace),
          secondsLeft: pace.secondsLeft(after: trainer.step, of: trainer.configuration),
          evaluation: report.evaluation))
      for row in stepRows(report, seconds: secondsBefore + elapsed) { try recorder?.add(row) }
      for point in curveRows(report, seconds: secondsBefore + elapsed) { try recorder?.add(point) }
      guard let checkpoint else { continue }
      let every = trainer.configuration.checkpointEvery
      let isDue = every > 0 && trainer.step % every == 0
      if isDue || trainer.isFinished || (clock.now - saved).seconds > 30 {
        try save(to: checkpoint, after: (clock.now - start).seconds, recorder)
        saved = clock.now
      }
    }
    try recorder?.flush()
    return try row(pace, seconds: secondsBefore + (clock.now - start).seconds, started: started)
  }

  private func fractionOfPeak(_ pace: TrainingPace) -> Double? {
    let tokensPerStep = Double(trainer.tokens) / Double(max(1, trainer.step))
    let operations = operationsDone / Double(max(1, trainer.step))
    return peakGflops.map { pace.tokensPerSecond / tokensPerStep * operations / ($0 * 1e9) }
  }

  private func row(_ pace: TrainingPace, seconds: Double, started: Date) throws -> TrainingRow {
    let way = (trainer.task as? any WayCounting)?.count
    let test = try trainer.evaluate(.test, batches: trainer.configuration.evaluationBatches)
    guard test.sum.isFinite else { throw TrainingDiverged(step: trainer.step, what: "test loss") }
    var row = identity(started: started)
    let last = trainer.evaluations.last
    row.status = .ok
    (row.tokens, row.steps) = (trainer.tokens, trainer.step)
    (row.computeFlops, row.computeBudget) = (operationsDone, job.compute)
    (row.trainLoss, row.validationLoss) = (last?.trainLoss, last?.validationLoss)
    row.validationAccuracy = last?.validationAccuracy
    try row.note(test, of: trainer.task)
    note(0, in: &row)
    row.note(trainer.task, since: way)
    row.boundedMean = trainer.model.boundedMean
    row.optimalLoss = try optimalLoss()
    (row.seconds, row.attentionBytes) = (seconds, attentionBytes)
    row.cacheBytes = try trainer.model.cacheBytes(after: trainer.task.length)
    // A training that was finished already has no pace of its own.
    if pace.steps > 0 {
      (row.tokensPerSecond, row.fractionOfPeak) = (pace.tokensPerSecond, fractionOfPeak(pace))
    }
    return row
  }

  /// The true law's loss on the very examples of the test, where the task knows it.
  private func optimalLoss() throws -> Double? {
    guard trainer.model.configuration.kind == .decoder, trainer.task.entropyRate != nil else { return nil }
    var sum = 0.0, count = 0
    for index in 0..<trainer.configuration.evaluationBatches {
      let batch = try trainer.task.batch(
        split: .test, index: index, batchSize: trainer.configuration.batch)
      guard let loss = trainer.task.optimalLoss(on: batch) else { return nil }
      sum += loss * Double(batch.scoredCount)
      count += batch.scoredCount
    }
    return sum / Double(count)
  }

  /// What a row says before anything is trained.
  func identity(started: Date) -> TrainingRow {
    let model = trainer.model
    var row = TrainingRow(job, started: started)
    row.taskConfiguration = trainer.task.configurationSummary
    row.attention = model.configuration.attention
    row.modelConfiguration = model.configuration.summary
    row.trainingConfiguration = trainer.configuration.summary
    row.parameters = model.parameterCount
    row.parametersNonEmbedding = model.nonEmbeddingParameterCount
    row.entropyRate = trainer.task.entropyRate
    if model.configuration.keepsSegments {
      let passes = trainer.configuration.accumulation
      row.memoryBytes = model.memoryBytes(streams: trainer.configuration.batch * passes)
    }
    (row.threads, row.isa) = (threads, InstructionSet.default.rawValue)
    row.ranks = trainer.communicator?.count ?? 1
    row.extendedFrom = trainer.extensions.map { "\($0)" }.joined(separator: ";")
    return row
  }
}

extension TrainingRow {
  /// A row that knows what is to be trained and where, and nothing else yet.
  init(_ job: TrainingJob, started: Date) {
    self.init()
    (runID, experiment, task, seed) = (job.id, job.experiment, job.task, job.seed)
    (evaluation, isHeldOut, startedAt) = (.test, job.isHeldOut, started.formatted(.iso8601))
    (machine, host) = (Machine.current.kind, Machine.current.host)
    auxiliary = AuxiliaryEntry.line(job.auxiliary)
  }

  mutating func note(_ test: CrossEntropy, of task: any SequenceTask) throws {
    (testLoss, testAccuracy, testCount) = (test.mean, test.accuracy, test.rows)
    guard test.exactMatch != nil, try task.hasAnswers() else { return }
    (testExactMatch, testExamples) = (test.exactMatch, test.sequences)
  }

  /// What a way before the task has done since an earlier count; nothing without a way.
  mutating func note(_ task: any SequenceTask, since earlier: WayCount?) {
    guard let earlier, let later = (task as? any WayCounting)?.count else { return }
    let count = later - earlier
    (wayRead, wayKept, waySeconds) = (count.read, count.kept, count.seconds)
  }
}
