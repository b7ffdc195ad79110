import Basics
import Models
import Tasks
import Tensors

/// The batches of a task as a model reads them, and its losses in evaluation.
struct TaskReader {
  /// The model.
  let model: TransformerModel
  /// Where examples come from.
  let task: any SequenceTask
  /// The auxiliary task whose head answers; `nil`: the main one's.
  let head: String?
  /// How the model is trained.
  let configuration: TrainingConfiguration
  /// Where the training batches of a stage begin, among those of the seed.
  var offset = 0

  /// The number of a batch among all of a split: seeds read different stretches of the training split; validation and test are the
  /// same for all.
  func place(_ split: Split, index: Int) -> Int {
    index + (split == .train ? Trainer.firstBatch(seed: configuration.seed) + offset : 0)
  }

  /// A batch, masked where an encoder is to restore tokens.
  /// - Throws: what the task throws.
  func input(_ split: Split, index: Int) throws -> ModelInput {
    var input = ModelInput(
      try task.batch(split: split, index: place(split, index: index), batchSize: configuration.batch))
    input.task = head
    guard model.configuration.kind == .encoder, task.kind == .languageModel else { return input }
    let key = RandomKey(seed: UInt64(configuration.seed))("mask")(split.rawValue)(index)
    return input.masked(maskToken: Int32(model.configuration.vocabulary - 1), key: key)
  }

  /// The loss of the first batches of a split, apart from each other.
  /// - Throws: what the task and attention throw.
  func evaluate(_ split: Split, batches: Int) throws -> CrossEntropy {
    try (0..<batches).reduce(CrossEntropy()) { $0 + (try evaluationLoss(split, index: $1)) }
  }
}
