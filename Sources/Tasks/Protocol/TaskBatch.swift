import Basics
import Tensors

/// Examples as rows of tokens, row-major, ready for a model.
public struct TaskBatch: Hashable, Sendable {
  /// A target that is not scored.
  public static let ignored: Int32 = -100

  /// What a model is to produce.
  public let kind: TaskKind
  /// Rows.
  public let batchSize: Int
  /// Columns of `inputs` and `targets`.
  public let length: Int
  /// `[batchSize, length]`: what the model reads (the decoder reads, for sequence to sequence).
  public let inputs: [Int32]
  /// `[batchSize, length]`: the token to predict at each position, or `ignored`. Empty for classification.
  public let targets: [Int32]
  /// `[batchSize]`: tokens of each row that are not padding.
  public let lengths: [Int]
  /// `[batchSize, sourceLength]`: what is read beside it. Empty unless the task has a source.
  public let source: [Int32]
  /// Columns of `source`.
  public let sourceLength: Int
  /// `[batchSize]`: tokens of each source row that are not padding.
  public let sourceLengths: [Int]
  /// `[batchSize]`: the class of each row. Empty unless classification.
  public let labels: [Int32]
  /// Tokens are below this.
  public let vocabularySize: Int
  /// Labels are below this.
  public let classCount: Int

  /// What describes every row in place of its token, `[batchSize·length, featureWidth]`.
  public private(set) var features: FeatureRows?
  /// Which rows send to which.
  public let graph: EdgeList?
  /// The places of an image that every row's tokens are.
  public private(set) var grid: Grid?

  /// The number of targets, or labels, that are scored.
  public var scoredCount: Int {
    kind.isClassification ? labels.count : targets.reduce(0) { $0 + ($1 == TaskBatch.ignored ? 0 : 1) }
  }

  /// How many scored targets (or labels) a prediction for each of them gets right.
  /// - Precondition: `predictions` has the count of `targets`, or of `labels` for classification.
  public func correct(_ predictions: [Int32]) -> Int {
    let expected = kind.isClassification ? labels : targets
    precondition(
      predictions.count == expected.count, "\(predictions.count) predictions for \(expected.count)")
    return zip(predictions, expected).reduce(0) { sum, pair in
      sum + (pair.1 != TaskBatch.ignored && pair.0 == pair.1 ? 1 : 0)
    }
  }

  /// Puts examples of one task under each other, padding short rows with 0.
  /// - Precondition: no example is longer than `length`, no source longer than `sourceLength`.
  package init(_ examples: [Example], of task: some SequenceTask) {
    let length = task.length, sourceLength = task.sourceLength
    kind = task.kind
    batchSize = examples.count
    self.length = length
    self.sourceLength = sourceLength
    vocabularySize = task.vocabularySize
    classCount = task.classCount
    func padded(_ tokens: [Int32], to length: Int, with filler: Int32) -> [Int32] {
      precondition(tokens.count <= length, "\(tokens.count) tokens in a row of \(length)")
      return tokens + [Int32](repeating: filler, count: length - tokens.count)
    }
    inputs = examples.flatMap { padded($0.inputs, to: length, with: 0) }
    lengths = examples.map(\.inputs.count)
    targets =
      task.kind.isClassification
      ? [] : examples.flatMap { padded($0.targets, to: length, with: TaskBatch.ignored) }
    source =
      task.kind.hasSource
      ? examples.flatMap { padded($0.source, to: sourceLength, with: 0) } : []
    sourceLengths = task.kind.hasSource ? examples.map(\.source.count) : []
    labels = task.kind.isClassification ? examples.map(\.label) : []
    (features, graph, grid) = (nil, nil, nil)
  }

  /// The rows as examples, without their padding.
  package var rows: [Example] {
    (0..<batchSize).map { row in
      let place = row * length..<row * length + lengths[row]
      let own =
        kind.hasSource ? Array(source[row * sourceLength..<row * sourceLength + sourceLengths[row]]) : []
      guard kind.isClassification else {
        return Example(inputs: Array(inputs[place]), targets: Array(targets[place]), source: own)
      }
      return Example(inputs: Array(inputs[place]), source: own, label: labels[row])
    }
  }

  /// The same, of examples whose rows may be described by numbers.
  /// - Precondition: as above; every example of a task with features has `length` rows of `featureWidth` numbers.
  /// - Throws: `MemoryLimitExceeded`.
  package init(describing examples: [Example], of task: some SequenceTask) throws(MemoryLimitExceeded) {
    self.init(examples, of: task)
    guard task.featureWidth > 0 else { return }
    let rows = examples.count * task.length
    let values = examples.flatMap(\.features)
    precondition(
      values.count == rows * task.featureWidth,
      "\(values.count) features for \(rows) rows of \(task.featureWidth)")
    (features, grid) = (FeatureRows(try Tensor(values, shape: [rows, task.featureWidth])), task.grid)
  }

  /// A whole graph.
  /// - Parameter targets: the class of every node, or `ignored`.
  init(_ nodes: NodeGraph, targets: [Int32]) {
    kind = .nodeClassification
    (batchSize, length, lengths) = (1, targets.count, [targets.count])
    inputs = [Int32](repeating: 0, count: targets.count)
    self.targets = targets
    (source, sourceLength, sourceLengths, labels) = ([], 0, [], [])
    (vocabularySize, classCount) = (nodes.classCount, 0)
    (features, graph, grid) = (nodes.features, nodes.edges, nil)
  }
}

/// One row of a batch.
public struct Example: Hashable, Sendable {
  /// What the model, or the decoder, reads.
  public var inputs: [Int32]
  /// The token to predict at each position, or `TaskBatch.ignored`.
  public var targets: [Int32]
  /// What the encoder reads.
  public var source: [Int32]
  /// The class.
  public var label: Int32
  /// What describes the rows in place of tokens, `[inputs.count, width]`; empty: tokens do.
  public var features: [Float] = []
  /// What decides the split, where that is less than all that the model reads: a secret must not be seen in training.
  public var identity: [Int32] = []

  /// A language modelling or sequence-to-sequence example.
  /// - Precondition: as many targets as inputs.
  public init(inputs: [Int32], targets: [Int32], source: [Int32] = []) {
    precondition(inputs.count == targets.count, "\(targets.count) targets for \(inputs.count) inputs")
    self.inputs = inputs
    self.targets = targets
    self.source = source
    label = -1
  }

  /// The language modelling example of a window: every token but the first is to be predicted from those before it.
  /// - Precondition: there is a token.
  public init(window: some Collection<Int32>) {
    self.init(inputs: Array(window.dropLast()), targets: Array(window.dropFirst()))
  }

  /// A classification example, of one sequence or of two.
  public init(inputs: [Int32], source: [Int32] = [], label: Int32) {
    self.inputs = inputs
    targets = []
    self.source = source
    self.label = label
  }

  /// A classification example whose rows are described by numbers, such as pixels.
  /// - Parameters:
  ///   - features: `[rows, width]`.
  ///   - rows: pixels, steps.
  ///   - label: the class.
  ///   - identity: what decides the split, such as the image before noise was added.
  public init(features: [Float], rows: Int, label: Int32, identity: [Int32]) {
    self.init(inputs: [Int32](repeating: 0, count: rows), label: label)
    (self.features, self.identity) = (features, identity)
  }

  /// FNV-1a of what the model reads, mixed: it decides the split.
  package var fingerprint: UInt64 {
    let read = !identity.isEmpty ? identity : source.isEmpty ? inputs : source
    // A word that no token has ends the list.
    let words = read.map { UInt64(UInt32(bitPattern: $0)) } + [1 << 32]
    return SplitMix64.mix(Fingerprint.hash(words: words))
  }
}
