import Models
import Settings
import Tasks

/// A further task that a model learns beside its main one: the body is shared, the head is the task's own.
public struct AuxiliaryTask: Sendable {
  /// How much of the training it is.
  public enum Part: Hashable, Sendable {
    /// Every step takes a batch of it, too, and its loss times this factor is added to the main one's.
    case weight(Double)
    /// It has this share of the steps, each of which takes the batches of one task.
    case share(Double)

    /// The factor, where it has one.
    public var weight: Double? { if case .weight(let weight) = self { weight } else { nil } }
    /// The share, where it has one.
    public var share: Double? { if case .share(let share) = self { share } else { nil } }
    /// The factor on its loss in a step that takes a batch of it.
    var factor: Double { weight ?? 1 }
  }

  /// What its head is called.
  public let name: String
  /// Where examples come from.
  public let task: any SequenceTask
  /// How much of the training it is.
  public let part: Part

  /// Creates a description.
  /// - Parameters:
  ///   - name: what its head is called in checkpoints and tables.
  ///   - task: where examples come from.
  ///   - part: how much of the training it is.
  public init(name: String, task: any SequenceTask, part: Part) {
    (self.name, self.task, self.part) = (name, task, part)
  }

  /// How often a step takes batches of the main task and of auxiliary ones, on average; a task of weight 0 is never learned from.
  public static func expectedSteps(_ auxiliary: [AuxiliaryTask]) -> [Double] {
    guard auxiliary.first?.part.share != nil else {
      return [1] + auxiliary.map { $0.part == .weight(0) ? 0 : 1 }
    }
    let shares = auxiliary.map { $0.part.share ?? 0 }
    return [1 - shares.reduce(0, +)] + shares
  }

  /// The head that it needs.
  public var head: TaskHeadConfiguration {
    task.kind.isClassification
      ? TaskHeadConfiguration(name: name, classes: task.classCount)
      : TaskHeadConfiguration(name: name, tokens: max(2, task.vocabularySize))
  }

  /// What is written into checkpoints.
  var line: String {
    switch part {
    case .weight(let weight): "\(task.card.id) weight=\(weight) \(task.configurationSummary)"
    case .share(let share): "\(task.card.id) share=\(share) \(task.configurationSummary)"
    }
  }
}

extension Trainer {
  /// A model with a head for every auxiliary task, and a vocabulary and length for all of them.
  /// - Parameters:
  ///   - model: as the main task needs it.
  ///   - auxiliary: the further tasks.
  ///   - task: the main task.
  public static func fit(
    _ model: ModelConfiguration, to auxiliary: [AuxiliaryTask], beside task: any SequenceTask
  ) -> ModelConfiguration {
    guard !auxiliary.isEmpty else { return model }
    var result = model
    for other in auxiliary {
      let needed = fit(model, to: other.task)
      result.vocabulary = max(result.vocabulary, needed.vocabulary)
      result.maximumLength = max(result.maximumLength, needed.maximumLength)
    }
    // The main task's logits are those of a model without further tasks.
    if model.classes == 0, result.vocabulary > model.vocabulary { result.outputVocabulary = model.vocabulary }
    result.set(taskHeads: auxiliary.map(\.head))
    return result
  }

  /// Makes sure that a model can learn tasks at once, and that they can be mixed.
  /// - Throws: `ConfigurationError` for the field `auxiliary` that says what is allowed.
  public static func check(
    _ model: ModelConfiguration, for auxiliary: [AuxiliaryTask], beside main: any SequenceTask,
    _ training: TrainingConfiguration
  ) throws(ConfigurationError) {
    guard !auxiliary.isEmpty else { return }
    func refuse(_ value: String, _ allowed: String) -> ConfigurationError {
      ConfigurationError(field: "auxiliary", value: value, allowed: allowed)
    }
    for (name, task) in [("beside the task \(main.card.id)", main)] + auxiliary.map({ ($0.name, $0.task) }) {
      guard task.kind == .languageModel || task.kind == .classification, task.featureWidth == 0,
        task.batchCount(of: .train) == nil
      else {
        throw refuse(
          name, "language models and classifications of tokens, main task and auxiliary ones alike")
      }
    }
    guard model.kind == .decoder || model.kind == .encoder else {
      throw refuse(
        auxiliary[0].name, "none with kind \(model.kind.rawValue): decoder and encoder have heads of tasks")
    }
    guard training.gradientSum == .passes, !training.consecutive, !model.keepsSegments else {
      throw refuse(
        auxiliary[0].name, "none with gradient_sum rows or parts, ranks, consecutive, memory or stored")
    }
    try checkParts(of: auxiliary)
    let heads = try model.taskHeads()
    for other in auxiliary {
      let needed = fit(model, to: other.task)
      guard heads.contains(other.head) else {
        throw refuse(
          other.name, "a task whose head the model has: " + heads.map(\.name).joined(separator: ", "))
      }
      try checkSizes(model, needed, of: "the auxiliary task \(other.name)")
    }
  }

  private static func checkParts(of auxiliary: [AuxiliaryTask]) throws(ConfigurationError) {
    var shares = 0.0, weights = 0
    for other in auxiliary {
      switch other.part {
      case .weight(let weight):
        weights += 1
        guard weight >= 0, weight <= 1000 else {
          throw ConfigurationError(field: "weight", value: "\(weight)", allowed: "a number from 0 to 1000")
        }
      case .share(let share):
        shares += share
        guard share > 0, share < 1 else {
          throw ConfigurationError(field: "share", value: "\(share)", allowed: "a number between 0 and 1")
        }
      }
    }
    guard weights == 0 || shares == 0 else {
      throw ConfigurationError(
        field: "share", value: "beside weight", allowed: "weights for all auxiliary tasks, or shares for all")
    }
    guard shares < 1 else {
      throw ConfigurationError(
        field: "share", value: "\(shares) together", allowed: "less than 1: the rest is the main task's")
    }
  }
}
