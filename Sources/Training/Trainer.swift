import AttentionCore
import Basics
import Layers
import Models
import Ranks
import Settings
import Tasks
import Tensors

/// Trains a model on a task: steps, evaluations, early stop, checkpoints that resume to the same bits.
///
/// Everything random is a function of (seed, step): batch number `step·accumulation + pass` of the training split, dropout
/// from the key of the pass. A resumed run therefore equals an uninterrupted one bit for bit.
public final class Trainer {
  /// The model.
  public let model: TransformerModel
  /// Where examples come from.
  public let task: any SequenceTask
  /// Further tasks that the model learns beside it, each by a head of its own.
  public let auxiliary: [AuxiliaryTask]
  /// What the first steps do otherwise.
  public let stages: [TrainingStage]
  /// How it is trained.
  public let configuration: TrainingConfiguration
  /// The ranks that share rows and evaluations; `nil`: this process does all.
  public let communicator: (any Communicator)?
  /// Optimiser steps done.
  public internal(set) var step = 0
  /// Tokens read in training (targets' side), padding included.
  public internal(set) var tokens = 0
  /// The lowest validation loss so far.
  public internal(set) var bestLoss = Double.infinity
  /// Evaluations since then.
  public internal(set) var evaluationsWithoutBetter = 0
  /// The evaluations of this run, resumed ones included.
  public internal(set) var evaluations: [Evaluation] = []
  /// Steps at which a schedule with an end was given a later one.
  public internal(set) var extensions: [Int] = []
  /// What is known of every task, the main one first; empty without auxiliary tasks.
  public internal(set) var progress: [TaskProgress] = []
  var optimizer: OptimizerState
  /// How the ranks share sequences; `nil`: sequences are whole.
  private let share: SequenceShare?
  /// What the rows of each pass of a step continue; empty: batches are apart from each other.
  var memories: [SegmentMemory]

  /// One evaluation.
  public struct Evaluation: Hashable, Sendable {
    /// Steps done.
    public var step: Int
    /// Tokens read.
    public var tokens: Int
    /// The mean training loss since the last evaluation, nats a labelled position.
    public var trainLoss: Double
    /// The validation loss, nats a labelled position.
    public var validationLoss: Double
    /// The share of labelled validation positions that were right.
    public var validationAccuracy: Double
  }

  /// One step.
  public struct StepReport: Hashable, Sendable {
    /// Its number, from 1.
    public var step: Int
    /// The training loss, nats a labelled position; with auxiliary tasks that of the main one, or of the one that the step took.
    public var loss: Double
    /// The norm of the gradients before clipping.
    public var gradientNorm: Double
    /// The learning rate.
    public var learningRate: Double
    /// Tokens read in it.
    public var tokens: Int
    /// The evaluation after it, if there was one.
    public var evaluation: Evaluation?
    /// The losses of all tasks of the step, whose first is `loss`; empty without auxiliary tasks.
    public var losses: [TaskLoss] = []
    /// The evaluations of auxiliary tasks after it, in their order.
    public var auxiliary: [Evaluation] = []
  }

  /// Pairs a model with a task.
  /// - Parameters:
  ///   - model: the model.
  ///   - task: where examples come from.
  ///   - auxiliary: further tasks that it learns beside it.
  ///   - stages: those of the configuration's curriculum, ready to be trained.
  ///   - configuration: how it is trained.
  ///   - communicator: the ranks that share the rows of a step, each with such a trainer; `nil`: this process has all.
  /// - Throws: `ConfigurationError` when they do not fit, before any time is spent.
  public init(
    model: TransformerModel, task: any SequenceTask, auxiliary: [AuxiliaryTask] = [],
    stages: [TrainingStage] = [], configuration: TrainingConfiguration,
    communicator: (any Communicator)? = nil
  ) throws {
    try Trainer.check(model.configuration, for: task)
    try Trainer.check(model.configuration, for: auxiliary, beside: task, configuration)
    guard auxiliary.isEmpty || !model.draws else {
      throw ConfigurationError(
        field: "auxiliary", value: auxiliary[0].name,
        allowed: "none with attention that learns from the size of one task's loss")
    }
    try Trainer.check(configuration, of: model, on: communicator)
    try Trainer.check(stages, configuration, of: model, beside: auxiliary)
    self.communicator = communicator
    share =
      if let communicator, communicator.count > 1, configuration.gradientSum == .parts {
        try SequenceShare(model, configuration, over: communicator)
      } else { nil }
    guard task.batchCount(of: .train) == nil || configuration.batch == 1 else {
      throw ConfigurationError(
        field: "batch", value: "\(configuration.batch)",
        allowed: "1 for the task \(task.card.id), whose graph is one")
    }
    self.model = model
    self.task = task
    self.auxiliary = auxiliary
    self.stages = stages
    progress = auxiliary.isEmpty ? [] : Array(repeating: TaskProgress(), count: auxiliary.count + 1)
    self.configuration = configuration
    memories = try Trainer.memories(of: model, task, configuration)
    guard model.pretext == nil || configuration.gradientSum == .passes else {
      throw ConfigurationError(
        field: "gradient_sum", value: configuration.gradientSum.rawValue,
        allowed: "passes with a pretext, which may compare the images of a pass")
    }
    guard memories.isEmpty || configuration.gradientSum == .passes else {
      throw ConfigurationError(
        field: "gradient_sum", value: configuration.gradientSum.rawValue,
        allowed: "passes for texts that are read in order: the memory of a pass is of all its rows")
    }
    optimizer = try OptimizerState(configuration, count: model.layout.count)
  }

  /// The sizes that a task asks of a model: vocabulary (one more for a masked language model's mask token), classes,
  /// length.
  public static func fit(_ model: ModelConfiguration, to task: any SequenceTask) -> ModelConfiguration {
    var model = model
    let isMasked = model.kind == .encoder && task.kind == .languageModel
    model.vocabulary = max(2, task.vocabularySize + (isMasked ? 1 : 0))
    model.classes = task.kind.isClassification ? task.classCount : 0
    model.features = task.featureWidth
    model.maximumLength = max(task.length, task.sourceLength, 1)
    if model.kind == .vit {
      (model.images.height, model.images.width) = (task.grid?.height ?? 0, task.grid?.width ?? 0)
      model.images.frames = task.frames
    }
    return model
  }

  /// Makes sure that a model can learn a task; a larger vocabulary or length than the task's is allowed.
  /// - Throws: `ConfigurationError`.
  public static func check(
    _ model: ModelConfiguration, for task: any SequenceTask
  ) throws(ConfigurationError) {
    let needed = fit(model, to: task)
    let stacks: [ModelConfiguration.Kind] =
      switch task.kind {
      case .languageModel: [.decoder, .encoder]
      case .classification: task.grid == nil ? [.encoder] : [.encoder, .vit, .cnn]
      case .nodeClassification: [.encoder]
      case .sequenceToSequence: [.encoderDecoder]
      case .pairClassification: [.pair]
      }
    guard stacks.contains(model.kind) else {
      throw ConfigurationError(
        field: "kind", value: model.kind.rawValue,
        allowed: stacks.map(\.rawValue).joined(separator: " or ") + " for the task \(task.card.id)")
    }
    guard model.kind != .vit || model.images == needed.images else {
      throw ConfigurationError(
        field: "image_height",
        value: "\(model.images.height) (and \(model.images.width), \(model.images.frames))",
        allowed: "those of the task \(task.card.id): \(needed.images.height), \(needed.images.width), "
          + "frames \(needed.images.frames)")
    }
    guard model.features == needed.features else {
      throw ConfigurationError(
        field: "features", value: "\(model.features)",
        allowed: "\(needed.features) for the task \(task.card.id)")
    }
    guard model.vocabulary >= needed.vocabulary else {
      throw ConfigurationError(
        field: "vocabulary", value: "\(model.vocabulary)",
        allowed: "at least \(needed.vocabulary) for the task \(task.card.id)")
    }
    guard model.classes > 0 || model.effectiveOutputVocabulary >= needed.vocabulary else {
      throw ConfigurationError(
        field: "output_vocabulary", value: "\(model.outputVocabulary)",
        allowed: "at least \(needed.vocabulary) for the task \(task.card.id)")
    }
    guard model.classes == needed.classes else {
      throw ConfigurationError(
        field: "classes", value: "\(model.classes)", allowed: "\(needed.classes) for the task \(task.card.id)"
      )
    }
    // Other positions reach as far as they are asked to: a trained model may be evaluated at greater lengths.
    guard model.position != .learned || model.maximumLength >= needed.maximumLength else {
      throw ConfigurationError(
        field: "maximum_length", value: "\(model.maximumLength)",
        allowed: "at least \(needed.maximumLength) for the task \(task.card.id)")
    }
  }

  /// One optimiser step, with the evaluation that is due after it.
  /// - Throws: `TrainingDiverged`; what the task and attention throw.
  public func advance() throws -> StepReport {
    let before = tokens, losses: [TaskLoss], norm: Double
    if auxiliary.isEmpty {
      let reader = reader(ofStep: step + 1)
      exchangeWeights(with: reader.model)
      defer { exchangeWeights(with: reader.model) }
      let advanced = try reader.model.advance(
        reader.configuration, step: step + 1, &optimizer, over: communicator, sharing: share
      ) { number in
        let rows = try rows(ofPass: number, reader)
        tokens += rows.input.tokens.count
        return rows
      }
      running = running + advanced.loss
      (losses, norm) = ([TaskLoss(task: nil, loss: advanced.loss.mean)], advanced.gradientNorm)
    } else {
      (losses, norm) = try advanceTasks()
    }
    step += 1
    var report = StepReport(
      step: step, loss: losses[0].loss, gradientNorm: norm,
      learningRate: configuration.learningRate(at: step, width: model.configuration.width),
      tokens: tokens - before,
      evaluation: nil)
    let isDue = configuration.evaluateEvery > 0 && step % configuration.evaluateEvery == 0
    if isDue || step == configuration.steps {
      report.evaluation = try evaluateNow()
      report.auxiliary = try evaluateAuxiliary()
    }
    if !auxiliary.isEmpty { report.losses = losses }
    return report
  }

  /// Training losses since the last evaluation.
  var running = CrossEntropy()

  private func evaluateNow() throws -> Evaluation {
    let loss = try evaluate(.validation, batches: configuration.evaluationBatches)
    guard loss.sum.isFinite else { throw TrainingDiverged(step: step, what: "validation loss") }
    let evaluation = Evaluation(
      step: step, tokens: tokens, trainLoss: running.mean, validationLoss: loss.mean,
      validationAccuracy: loss.accuracy)
    running = CrossEntropy()
    evaluations.append(evaluation)
    if loss.mean < bestLoss {
      bestLoss = loss.mean
      evaluationsWithoutBetter = 0
    } else {
      evaluationsWithoutBetter += 1
    }
    return evaluation
  }

  /// The loss of the first batches of a split, in the order in which the model is trained: apart from each other, or as
  /// segments of texts. Ranks take batches that are apart in turn.
  /// - Parameters:
  ///   - split: which examples.
  ///   - batches: how many batches, or segments of every row.
  ///   - memory: positions that every layer keeps of earlier segments; `nil`: as many as in training.
  /// - Returns: the sum over the batches in their order, on every rank.
  /// - Throws: `TrainingDiverged` when scores overflow; `ConfigurationError` for a memory that the model or the task cannot
  ///   have; what the task and attention throw; `RankFailure`.
  public func evaluate(_ split: Split, batches: Int, memory: Int? = nil) throws -> CrossEntropy {
    let count = min(batches, task.batchCount(of: split) ?? batches)
    let ranks = communicator?.count ?? 1, rank = communicator?.rank ?? 0
    var losses: [Int: CrossEntropy] = [:]
    do {
      if let texts = try segmentedTask(for: memory) {
        return try evaluate(split, segments: batches, of: texts, memory: memory)
      }
      if let share {
        return try (0..<count).reduce(CrossEntropy()) {
          $0 + (try model.loss(try input(split, index: $1), shared: share))
        }
      }
      for index in stride(from: rank, to: count, by: ranks) {
        losses[index] = try reader(0).evaluationLoss(split, index: index)
      }
    } catch is ScoreOverflow { throw TrainingDiverged(step: step, what: "attention scores") }
    return try CrossEntropy.sum(losses, of: count, owner: { $0 % ranks }, over: communicator)
  }

  /// Whether all steps are done or the validation loss has not fallen for `patience` evaluations.
  public var isFinished: Bool {
    step >= configuration.steps
      || (configuration.patience > 0 && evaluationsWithoutBetter >= configuration.patience)
  }

  /// Where the training batches of a seed begin: 2³² apart up to seed 4095, from there on 2²⁴ apart, so that the number of
  /// an example, batches times rows, stays within 62 bits. Seeds 2²⁰ apart from 4096 on meet again.
  static func firstBatch(seed: Int) -> Int {
    seed < 4096 ? seed << 32 : 4096 << 32 + (seed & 0xF_FFFF) << 24
  }

  func input(_ split: Split, index: Int) throws -> ModelInput { try reader(0).input(split, index: index) }
}

extension ModelInput {
  /// Masked language modelling (Devlin et al., 2019): 15 % of the tokens are to be restored; of these 80 % read the mask
  /// token, 10 % a random token, 10 % themselves. Padding is neither chosen nor does it take a draw.
  func masked(maskToken: Int32, key: RandomKey) -> ModelInput {
    var random = key.generator()
    var result = self
    for place in tokens.indices {
      guard isReal(place), random.uniform() < 0.15 else {
        result.targets[place] = TaskBatch.ignored
        continue
      }
      result.targets[place] = tokens[place]
      let choice = random.uniform()
      if choice < 0.8 {
        result.tokens[place] = maskToken
      } else if choice < 0.9 {
        result.tokens[place] = Int32(random.integer(below: Int(maskToken)))
      }
    }
    return result
  }
}
