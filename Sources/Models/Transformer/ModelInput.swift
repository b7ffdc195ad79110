import Settings
import Tasks
import Tensors

/// What a model reads in one pass, and what it is to say.
public struct ModelInput: Hashable, Sendable {
  /// Sequences.
  public var batch: Int
  /// `[batch·length]`.
  public var tokens: [Int32]
  /// `[batch·length]`; below 0, or behind the end of its sequence: does not count. For classification `[batch]`.
  public var targets: [Int32]
  /// Real tokens of every sequence; `nil`: all.
  public var lengths: [Int]?
  /// `[batch·sourceLength]`, for an encoder–decoder or a pair.
  public var source: [Int32]
  /// Real tokens of every source; `nil`: all.
  public var sourceLengths: [Int]?

  /// What describes every row in place of its token, `[batch·length, features]`.
  public var features: FeatureRows?
  /// Which rows send to which, in every sequence alike.
  public var graph: EdgeList?
  /// The places of an image that every sequence's rows are.
  public var grid: Grid?
  /// The auxiliary task whose head is to answer; `nil`: the main task's.
  public var task: String?

  /// Tokens a sequence.
  public var length: Int { batch == 0 ? 0 : tokens.count / batch }

  /// Whether a place of `tokens` holds a real token.
  package func isReal(_ place: Int) -> Bool { lengths.map { place % length < $0[place / length] } ?? true }

  /// The targets with those of padding left out: what stands there is nothing to the loss.
  package var scoredTargets: [Int32] {
    guard lengths != nil else { return targets }
    return targets.indices.map { isReal($0) ? targets[$0] : TaskBatch.ignored }
  }

  /// Whether a target counts.
  public var scoresAnything: Bool {
    (targets.count == tokens.count ? scoredTargets : targets).contains { $0 >= 0 }
  }

  /// Creates an input.
  public init(
    batch: Int, tokens: [Int32], targets: [Int32] = [], lengths: [Int]? = nil, source: [Int32] = [],
    sourceLengths: [Int]? = nil
  ) {
    (self.batch, self.tokens, self.targets) = (batch, tokens, targets)
    (self.lengths, self.source, self.sourceLengths) = (lengths, source, sourceLengths)
  }

  /// Some of the sequences, which lie side by side.
  /// - Throws: `MemoryLimitExceeded`.
  package func rows(_ range: Range<Int>) throws(MemoryLimitExceeded) -> ModelInput { try rows(Array(range)) }

  /// Some of the sequences.
  /// - Throws: `MemoryLimitExceeded`.
  package func rows(_ rows: [Int]) throws(MemoryLimitExceeded) -> ModelInput {
    if rows == Array(0..<batch) { return self }
    func part(_ values: [Int32]) -> [Int32] {
      let size = values.count / batch
      return rows.flatMap { values[$0 * size..<($0 + 1) * size] }
    }
    var result = ModelInput(
      batch: rows.count, tokens: part(tokens), targets: part(targets),
      lengths: lengths.map { lengths in rows.map { lengths[$0] } },
      source: part(source), sourceLengths: sourceLengths.map { lengths in rows.map { lengths[$0] } })
    if let features { result.features = try features.runs(rows, of: length) }
    (result.graph, result.grid, result.task) = (graph, grid, task)
    return result
  }

  /// Images or videos.
  /// - Parameters:
  ///   - pixels: `[batch, height, width, channels]`, or with frames before the height.
  ///   - targets: the class of every image; empty: none is scored.
  /// - Precondition: four or five axes, none of them 0.
  public init(images pixels: Tensor, targets: [Int32] = []) {
    let shape = pixels.shape
    precondition((4...5).contains(shape.count) && !shape.contains(0), "images \(shape)")
    let height = shape[1..<shape.count - 2].reduce(1, *), width = shape[shape.count - 2]
    let rows = shape[0] * height * width
    self.init(batch: shape[0], tokens: [Int32](repeating: 0, count: rows), targets: targets)
    features = FeatureRows(pixels.reshaped([rows, shape[shape.count - 1]]))
    grid = Grid(height: height, width: width)
  }

  /// The rows of a task.
  public init(_ task: TaskBatch) {
    func ragged(_ lengths: [Int], _ full: Int) -> [Int]? { lengths.allSatisfy { $0 == full } ? nil : lengths }
    self.init(
      batch: task.batchSize, tokens: task.inputs,
      targets: task.kind.isClassification ? task.labels : task.targets,
      lengths: ragged(task.lengths, task.length), source: task.source,
      sourceLengths: task.source.isEmpty ? nil : ragged(task.sourceLengths, task.sourceLength))
    (features, graph, grid) = (task.features, task.graph, task.grid)
  }

  /// Checks tokens and sizes against a model before any time is spent.
  /// - Throws: `ConfigurationError` that names the first token outside the vocabulary, or the size that is wrong.
  public func validate(for model: ModelConfiguration) throws(ConfigurationError) {
    func fail(_ field: String, _ value: String, _ allowed: String) -> ConfigurationError {
      ConfigurationError(field: field, value: value, allowed: allowed)
    }
    guard batch >= 1, !tokens.isEmpty else { throw fail("tokens", "an empty array", "at least one token") }
    guard tokens.count % batch == 0, source.count % batch == 0 else {
      throw fail("tokens", "\(tokens.count) in \(batch) rows", "rows of equal length")
    }
    if let grid, grid.count != length {
      throw fail("grid", "\(grid)", "as many places as the \(length) rows of an image")
    }
    guard grid != nil || !model.kind.readsImages else {
      throw fail(
        "images", "nothing", "images [batch, height, width, channels] for kind \(model.kind.rawValue)")
    }
    guard lengths == nil || !model.kind.readsImages else {
      throw fail("lengths", "given", "nothing for images, which have no padding")
    }
    let asked = model.images
    guard model.kind != .vit || (grid?.height, grid?.width) == (asked.height, asked.width) else {
      throw fail(
        "images", grid.map { "\($0)" } ?? "no images", "\(asked.height) × \(asked.width) for this model")
    }
    guard (features?.width ?? 0) == model.features, features.map({ $0.count == tokens.count }) ?? true else {
      throw fail(
        "features", features.map { "\($0.values.shape)" } ?? "nothing",
        model.features == 0 ? "tokens alone" : "[\(tokens.count), \(model.features)] for this model")
    }
    for (name, values) in [("tokens", tokens), ("source", source)] {
      if let place = values.firstIndex(where: { $0 < 0 || $0 >= model.vocabulary }) {
        throw fail(
          name,
          "token \(values[place]) at row \(place / (values.count / batch)), column \(place % (values.count / batch))",
          "0 to \(model.vocabulary - 1) (the model's vocabulary)")
      }
    }
    let head = try model.head(of: task), isClass = head.isClassification
    if let place = targets.firstIndex(where: { $0 >= head.outputs }) {
      throw fail("targets", "\(targets[place]) at \(place)", "up to \(head.outputs - 1), or below 0 for none")
    }
    let expected = isClass ? batch : tokens.count
    guard targets.isEmpty || targets.count == expected else {
      throw fail(
        "targets", "\(targets.count) values",
        "\(expected), one for every \(isClass ? "row" : "token")")
    }
    if model.position == .learned, !model.kind.readsImages,
      max(length, source.count / batch) > model.maximumLength
    {
      throw fail(
        "tokens", "\(max(length, source.count / batch)) a row",
        "at most maximum_length = \(model.maximumLength)")
    }
    guard model.kind.hasSource == !source.isEmpty else {
      throw fail(
        "source", source.isEmpty ? "nothing" : "\(source.count) tokens",
        model.kind.hasSource ? "tokens for the encoder" : "nothing for a model of one stack")
    }
  }
}
