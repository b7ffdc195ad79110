import Basics
import Settings
import Tensors

/// Something to learn: a source of batches that are a pure function of (configuration, key, split, index).
///
/// Batches are random access: `batch(split:index:batchSize:)` gives the same tokens for the same arguments on any
/// machine, in any order, from any thread. A task is one file and one catalogue line.
public protocol SequenceTask: Sendable {
  /// The parameters, declared once.
  associatedtype Configuration: ParameterSet

  /// What the task is.
  static var card: TaskCard { get }

  /// Configures the task; everything that may be wrong with the settings or with the user's files is found here.
  /// - Throws: `ConfigurationError`, `TextError`.
  init(_ configuration: Configuration, key: RandomKey) throws

  /// The configuration in force.
  var configuration: Configuration { get }
  /// `name=value` of all parameters, separated by `;`.
  var configurationSummary: String { get }
  /// What a model is to produce.
  var kind: TaskKind { get }
  /// Tokens are in `0 ..< vocabularySize`, inputs and targets alike.
  var vocabularySize: Int { get }
  /// Columns of `TaskBatch.inputs`.
  var length: Int { get }
  /// Columns of `TaskBatch.source`; 0 unless `kind` has one.
  var sourceLength: Int { get }
  /// Numbers that describe a row in place of a token; 0: rows are tokens.
  var featureWidth: Int { get }
  /// The places of an image that every row's tokens are; `nil`: they are no places.
  var grid: Grid? { get }
  /// Frames of a video, whose images lie below each other in the grid; 1: it is an image, or none.
  var frames: Int { get }
  /// Whether tokens are the bytes of a text.
  var readsBytes: Bool { get }
  /// What stands between the parts of an answer in bytes; `nil`: an answer is one.
  var answerSeparator: String? { get }
  /// The number of different batches of a split; `nil`: there is no end of them.
  func batchCount(of split: Split) -> Int?
  /// Number of classes; 0 unless `kind` is a classification.
  var classCount: Int { get }
  /// The least mean loss that any model can reach, in nats per scored token, where it is known exactly.
  var entropyRate: Double? { get }
  /// The text that was read, for the record of a run; `nil` for a synthetic task.
  var text: TextCorpus? { get }

  /// The rows `index · batchSize ..< (index + 1) · batchSize` of a split.
  /// - Precondition: `index ≥ 0`, `batchSize ≥ 1`.
  /// - Throws: `ConfigurationError` when the split has no example.
  func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch

  /// The mean loss of the true law on a batch of this task, in nats per scored token, where that law is known.
  func optimalLoss(on batch: TaskBatch) -> Double?

  /// Whether a row asks for an answer that is right or wrong as a whole: tokens of another sequence, or some of its own beside
  /// others that are not scored. A text whose every token is scored asks for none.
  /// - Throws: what `batch` throws.
  func hasAnswers() throws -> Bool
}

extension SequenceTask {
  /// No source.
  public var sourceLength: Int { 0 }
  /// Rows are tokens.
  public var featureWidth: Int { 0 }
  /// They are no places.
  public var grid: Grid? { nil }
  /// No video.
  public var frames: Int { 1 }
  /// They are not.
  public var readsBytes: Bool { false }
  /// An answer is one.
  public var answerSeparator: String? { nil }
  /// There is no end of them.
  public func batchCount(of split: Split) -> Int? { nil }
  /// No classes.
  public var classCount: Int { 0 }
  /// Not known.
  public var entropyRate: Double? { nil }
  /// Nothing was read.
  public var text: TextCorpus? { nil }
  /// Not known.
  public func optimalLoss(on batch: TaskBatch) -> Double? { nil }
  /// As its first test row is scored.
  public func hasAnswers() throws -> Bool {
    switch kind {
    case .sequenceToSequence: return true
    case .classification, .pairClassification, .nodeClassification: return false
    case .languageModel:
      let row = try batch(split: .test, index: 0, batchSize: 1)
      return row.scoredCount < row.lengths.reduce(0, +)
    }
  }
  /// What the task is.
  public var card: TaskCard { Self.card }
  /// `name=value` of all parameters.
  public var configurationSummary: String { configuration.summary }
}

/// What a task is, in words.
public struct TaskCard: Hashable, Sendable {
  /// The name in presets and commands, such as `mqar`.
  public let id: String
  /// The name in prose.
  public let title: String
  /// Authors, year and title of the source.
  public let paper: String
  /// One line.
  public let idea: String

  /// Creates a card.
  public init(id: String, title: String, paper: String, idea: String) {
    self.id = id
    self.title = title
    self.paper = paper
    self.idea = idea
  }
}

/// What a model is to produce.
public enum TaskKind: String, CaseIterable, Hashable, Sendable {
  /// A token at every scored position, from the tokens up to it.
  case languageModel = "language-model"
  /// A class for the whole sequence.
  case classification
  /// A class for every row of a graph; classes are the vocabulary, targets stand at the rows that are scored.
  case nodeClassification = "node-classification"
  /// A sequence from another.
  case sequenceToSequence = "sequence-to-sequence"
  /// A class for two sequences.
  case pairClassification = "pair-classification"

  /// Whether a class is asked for.
  public var isClassification: Bool { self == .classification || self == .pairClassification }
  /// Whether there is a source.
  public var hasSource: Bool { self == .sequenceToSequence || self == .pairClassification }
}

/// Which examples: no example is in two splits.
public enum Split: String, CaseIterable, Hashable, Sendable {
  /// To learn from.
  case train
  /// To choose by.
  case validation
  /// To report.
  case test
}
