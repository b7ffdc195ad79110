import AttentionCore
import Basics
import Models
import Settings
import Tasks
import Tensors

/// What the first steps of a training do otherwise than its last ones, as the setting `curriculum` writes it.
///
/// `stage(steps=500, length=64), stage(steps=300, length=256, batch=8)` makes 500 steps on texts of 64 tokens, then 300 on 256, and all
/// others as task, batch and attention say. `batch` and `attention` are those of the stage; every other setting is the task's.
/// Weights, moments and the learning rate's schedule go on; evaluations are always of the task itself.
///
/// Source: Bengio et al. 2009, Curriculum learning; for lengths Li et al. 2022, The stability-efficiency dilemma (arXiv:2108.06084);
/// for attention the dense warm-up of an indexer, DeepSeek-AI 2025, DeepSeek-V3.2-Exp.
public struct Curriculum: Hashable, Sendable {
  /// Some steps of a training.
  public struct Stage: Hashable, Sendable {
    /// Optimiser steps.
    public var steps: Int
    /// Sequences of a pass; `nil`: as in the training.
    public var batch: Int?
    /// The attention of the layers; `nil`: as in the training.
    public var attention: String?
    /// Settings in which the task differs.
    public var task: [String: ParameterValue]
  }

  /// The stages in their order; what is left of the training is no stage.
  public var stages: [Stage]

  /// The most stages, and the most passes of one: the training batches of stages lie so far apart.
  static let mostStages = 15, mostPasses = 1 << 20

  /// Reads a line; an empty one has no stages.
  /// - Throws: `ConfigurationError` for the field `curriculum` that quotes what is wrong.
  public init(_ line: String) throws(ConfigurationError) {
    stages = []
    guard !line.isEmpty else { return }
    func refuse(_ value: String, _ allowed: String) -> ConfigurationError {
      ConfigurationError(field: "curriculum", value: value, allowed: allowed)
    }
    let parts: [LayerAttention]
    do throws(ConfigurationError) { parts = try LayerAttention.parse(line) } catch {
      throw refuse(error.value, Self.form)
    }
    for part in parts {
      guard part.id == "stage" else { throw refuse(shown(part.id), Self.form) }
      var settings = part.settings
      func number(_ field: String, _ range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let value = settings.removeValue(forKey: field) else { return nil }
        guard case .int(let number) = value, range.contains(number) else {
          throw refuse("\(field)=\(value)", "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
      }
      guard let steps = try number("steps", 1...Self.mostPasses) else {
        throw refuse("\(part)", "steps=… in every stage")
      }
      let batch = try number("batch", 1...65_536)
      let attention = settings.removeValue(forKey: "attention").map { "\($0)" }
      stages.append(Stage(steps: steps, batch: batch, attention: attention, task: settings))
    }
    guard stages.count <= Self.mostStages else {
      throw refuse(counted(stages.count, "stage"), "at most \(Self.mostStages)")
    }
  }

  private static let form =
    "a list such as: stage(steps=500, length=64), stage(steps=300, length=256, batch=8)"

  /// Optimiser steps of all stages.
  public var steps: Int { stages.reduce(0) { $0 + $1.steps } }
}

/// A stage of a curriculum, ready to be trained.
public struct TrainingStage {
  /// As the curriculum writes it.
  public let stage: Curriculum.Stage
  /// Where its examples come from.
  public let task: any SequenceTask
  /// The model with the stage's attention, which has the weights of the training while a step of the stage is made; the training's
  /// model where the attention is no other.
  public let model: TransformerModel

  /// Makes a stage ready.
  /// - Parameters:
  ///   - stage: as the curriculum writes it.
  ///   - task: where its examples come from.
  ///   - model: what is trained.
  /// - Throws: `ConfigurationError` for the field `curriculum` when the model cannot learn the task, or attention has other parameters;
  ///   `MemoryLimitExceeded`.
  public init(_ stage: Curriculum.Stage, task: any SequenceTask, of model: TransformerModel) throws {
    (self.stage, self.task) = (stage, task)
    do throws(ConfigurationError) { try Trainer.check(model.configuration, for: task) } catch {
      throw ConfigurationError(
        field: "curriculum", value: "steps=\(stage.steps) with \(task.configurationSummary)",
        allowed: "a task that the model can learn (\(error))")
    }
    guard task.batchCount(of: .train) == nil else {
      throw ConfigurationError(
        field: "curriculum", value: "steps=\(stage.steps)",
        allowed: "none for the task \(task.card.id), whose graph is one")
    }
    guard let attention = stage.attention else {
      self.model = model
      return
    }
    self.model = try model.replacingAttention(attention)
    guard self.model.layout.slots == model.layout.slots, self.model.draws == model.draws else {
      throw ConfigurationError(
        field: "curriculum", value: "attention=\(attention)",
        allowed: "attention with the same parameters as \(model.configuration.attention)")
    }
  }
}

extension Trainer {
  /// Makes sure that a training can have stages before its last steps.
  /// - Throws: `ConfigurationError` for the field `curriculum`.
  static func check(
    _ stages: [TrainingStage], _ configuration: TrainingConfiguration, of model: TransformerModel,
    beside auxiliary: [AuxiliaryTask]
  ) throws(ConfigurationError) {
    let curriculum = try Curriculum(configuration.curriculum)
    precondition(curriculum.stages == stages.map(\.stage), "stages are those of the configuration")
    guard !stages.isEmpty else { return }
    func refuse(_ allowed: String) -> ConfigurationError {
      ConfigurationError(field: "curriculum", value: configuration.curriculum, allowed: allowed)
    }
    guard auxiliary.isEmpty else { throw refuse("none beside auxiliary tasks") }
    guard configuration.gradientSum != .parts, !configuration.consecutive, !model.configuration.keepsSegments
    else { throw refuse("none with gradient_sum parts, consecutive, memory or stored") }
    guard stages.allSatisfy({ $0.stage.steps * configuration.accumulation <= Curriculum.mostPasses }) else {
      throw refuse("stages of at most \(Curriculum.mostPasses) passes")
    }
    guard curriculum.steps < configuration.steps else {
      throw refuse("fewer than \(configuration.steps) steps in all stages: training.steps counts them, too")
    }
  }

  /// The stage of a step, counted from 1, and its number; `nil` for the last steps, which are none.
  func stage(ofStep step: Int) -> (stage: TrainingStage, number: Int)? {
    var left = step
    for (number, stage) in stages.enumerated() {
      if left <= stage.stage.steps { return (stage, number) }
      left -= stage.stage.steps
    }
    return nil
  }

  /// The model, the settings and the batches of a step.
  func reader(ofStep step: Int) -> TaskReader {
    guard let (stage, number) = stage(ofStep: step) else { return reader(0) }
    var settings = configuration
    settings.batch = stage.stage.batch ?? configuration.batch
    // Batches of a stage lie apart from those of others, whatever their sizes.
    return TaskReader(
      model: stage.model, task: stage.task, head: nil, configuration: settings,
      offset: (stages.count - number) * Curriculum.mostPasses)
  }

  /// Lends the weights to the model of a stage.
  func exchangeWeights(with other: TransformerModel) {
    guard other !== model else { return }
    swap(&model.state.weights, &other.state.weights)
    swap(&model.state.buffers, &other.state.buffers)
  }
}
