import Basics
import Layers
import Tensors
import Vision

extension TransformerModel {
  /// The way back from the last hidden states to all parameters.
  package typealias HiddenPullback = (Tensor) throws -> Void

  /// The last hidden states of the main stack, `[batch·length, width]`: the one walk of training, evaluation, decoding and
  /// tracing.
  ///
  /// - Returns: beside the states the walk that gave them, which knows the sequences, their segments and their memory.
  package func hidden(_ input: ModelInput, _ run: LayerRun) throws -> (Tensor, LayerRun, HiddenPullback) {
    // Padding stands at the end, where no earlier row sees it; but a pattern may depend on where a sequence ends.
    var run = prepared(run, for: input)
    let source = try run.memory == nil ? encoded(input, run) : nil
    if let source { run.memory = source.memory }
    (run.graph, run.grid) = (input.graph, input.grid)
    let (x, embedded) = try rows(under: input, run)
    let (y, stacked) = try main.forward(x, run)
    let pullback = { (dy: Tensor) in
      try embedded(stacked(dy))
      try source?.pullback()
    }
    return (y, run, pullback)
  }

  /// What the main stack reads, and the way back: what the embedding makes of the input; of images, whose trunk reads them itself,
  /// the pixels.
  private func rows(under input: ModelInput, _ run: LayerRun) throws -> (
    output: Tensor, pullback: (Tensor) throws -> Void
  ) {
    if let embedding {
      return try embedding.forward(input.tokens, describedBy: input.features?.values, run)
    }
    guard let pixels = input.features?.values else { preconditionFailure("the model reads images") }
    return (pixels, { _ in })
  }

  /// What cross-attention reads, and the way back from the gradient that it collected; `nil` without an encoder behind a
  /// decoder.
  func encoded(_ input: ModelInput, _ run: LayerRun) throws -> (
    memory: Memory, pullback: () throws -> Void
  )? {
    guard let sourceEmbedding, let encoder else { return nil }
    let run = run.over(batch: input.batch, lengths: input.sourceLengths)
    let (x, embedded) = try sourceEmbedding.forward(input.source, run)
    let (rows, stacked) = try encoder.forward(x, run)
    let memory = Memory(rows, lengths: input.sourceLengths)
    let pullback = {
      if let gradient = memory.gradient { try embedded(stacked(gradient)) }
    }
    return (memory, pullback)
  }

  /// The stack whose output is the model's: the decoder, or the encoder where there is none.
  var main: any Trunk {
    guard let trunk = trunk ?? decoder ?? encoder else {
      preconditionFailure("a model has an encoder or a decoder")
    }
    return trunk
  }

  /// A walk over the sequences of an input, which are cut into segments where the model reads them so.
  private func prepared(_ run: LayerRun, for input: ModelInput) -> LayerRun {
    var run = run.over(batch: input.batch, lengths: run.spread?.lengths ?? input.lengths)
    guard configuration.hierarchy.kind != .none else { return run }
    let cut = configuration.hierarchy.segmentation.cut(
      input.tokens, batch: input.batch, lengths: input.lengths)
    (run.cut, run.positions) = (cut, cut.positions(rows: input.tokens.count))
    return run
  }

  /// The last hidden states in evaluation, `[batch, length, width]` (2·width where a reversible stack gives both streams;
  /// `[batch, 1, width]` of hierarchy han).
  /// - Throws: `ConfigurationError` for an input that does not fit; what attention throws.
  public func hiddenStates(_ input: ModelInput) throws -> Tensor {
    try input.validate(for: configuration)
    let (h, _, _) = try hidden(input, evaluationRun)
    return h.reshaped([input.batch, h.shape[0] / input.batch, configuration.outputWidth])
  }

  /// Logits in evaluation: `[batch, length, vocabulary]`, or `[batch, classes]`.
  /// - Throws: `ConfigurationError` for an input that does not fit; what attention throws.
  public func logits(_ input: ModelInput) throws -> Tensor {
    try input.validate(for: configuration)
    let (h, run, _) = try hidden(input, evaluationRun)
    let head = head(of: input.task), logits = try predictions(from: h, run, of: input.task)
    return head.classifier == nil
      ? logits.reshaped([input.batch, input.length, head.outputs]) : logits
  }

  /// Logits of last hidden states: `[batch·length, vocabulary]`, capped where the model says so, or `[batch, classes]`.
  /// - Parameters:
  ///   - h: the states.
  ///   - run: the walk that gave them.
  ///   - task: the auxiliary task whose head makes them; `nil`: the main task's does.
  package func predictions(from h: Tensor, _ run: LayerRun, of task: String? = nil) throws -> Tensor {
    let head = head(of: task)
    if let classifier = head.classifier { return try classifier.product(head.pool(h, run).output, run) }
    return try tokenLogits(h, run, of: task)
  }

  /// Logits of tokens, `[rows, vocabulary]`, from last hidden states, capped where the model says so.
  /// - Parameters:
  ///   - h: the states.
  ///   - run: the walk that gave them.
  ///   - task: the auxiliary task whose head makes them; `nil`: the main task's does.
  /// - Precondition: the head predicts tokens.
  package func tokenLogits(_ h: Tensor, _ run: LayerRun, of task: String? = nil) throws -> Tensor {
    let logits = try plainLogits(h, run, head(of: task))
    guard configuration.logitSoftcap > 0 else { return logits }
    return try context.softcapped(logits, at: configuration.logitSoftcap)
  }

  /// The same before they are capped.
  func plainLogits(_ h: Tensor, _ run: LayerRun, _ head: TaskHead) throws -> Tensor {
    guard let output = head.output else { preconditionFailure("a model has an output or a classifier") }
    return try context.matmul(h, .plain, run.weight(output), .transposed)
  }

  /// The one stack whose layers hold all attention of the model, or what it has instead, in words.
  package var singleStack: Result<Stack, MissingStack> {
    if configuration.kind.hasSource {
      return .failure(MissingStack(what: "a model of kind \(configuration.kind.rawValue) has two stacks"))
    }
    if let trunk = trunk as? VisionTransformer {
      return trunk.stack.map { .success($0) }
        ?? .failure(MissingStack(what: "a video model that is divided attends to time and space apart"))
    }
    guard trunk == nil, let stack = decoder ?? encoder else {
      let what =
        configuration.kind == .cnn
        ? "a model of kind cnn has no variant of attention" : "a hierarchy has several stacks"
      return .failure(MissingStack(what: what))
    }
    return .success(stack)
  }

  /// Why a model has no single stack.
  package struct MissingStack: Error {
    /// In words.
    package let what: String
  }

  /// The loss in evaluation.
  /// - Parameters:
  ///   - input: tokens and targets.
  ///   - smoothing: the share of the target that all tokens get alike.
  ///   - memory: what the sequences continue, which moves on behind them; `nil`: nothing.
  /// - Throws: what attention throws.
  public func loss(_ input: ModelInput, smoothing: Double = 0, after memory: SegmentMemory? = nil) throws
    -> CrossEntropy
  {
    try loss(input, smoothing: smoothing, gradientScale: 0, evaluationRun, after: memory)
  }

  /// The loss in training; adds the gradients of `factor·mean loss` to the model's gradients.
  /// - Parameters:
  ///   - input: tokens and targets.
  ///   - smoothing: the share of the target that all tokens get alike.
  ///   - factor: what the loss is multiplied by before its gradient is taken.
  ///   - key: the root of this step's dropout choices.
  ///   - training: false: gradients as in evaluation, without dropout.
  ///   - memory: what the sequences continue, which moves on behind them and has no gradient; `nil`: nothing.
  /// - Throws: what attention throws.
  public func accumulateGradients(
    _ input: ModelInput, smoothing: Double = 0, factor: Double = 1, key: RandomKey, training: Bool = true,
    after memory: SegmentMemory? = nil
  ) throws -> CrossEntropy {
    let counted = scoredCount(input)
    guard counted > 0 || memory != nil else { return CrossEntropy() }
    return try loss(
      input, smoothing: smoothing, gradientScale: factor / Double(max(1, counted)),
      layerRun(training: training, key: key), after: memory)
  }

  /// As above, for some rows of a pass: the caller says what the sum of their losses is multiplied by.
  package func accumulateGradients(
    ofRow input: ModelInput, smoothing: Double, scale: Double, key: RandomKey
  ) throws -> CrossEntropy {
    guard scale != 0, scoredCount(input) > 0 else { return CrossEntropy() }
    return try loss(
      input, smoothing: smoothing, gradientScale: scale, layerRun(training: true, key: key))
  }

  /// How many targets count.
  package func scoredCount(_ input: ModelInput) -> Int { scoredTargets(input).count { $0 >= 0 } }

  private func loss(
    _ input: ModelInput, smoothing: Double, gradientScale: Double, _ run: LayerRun,
    after memory: SegmentMemory?
  ) throws -> CrossEntropy {
    guard let memory else {
      return try loss(input, smoothing: smoothing, gradientScale: gradientScale, run)
    }
    var total = CrossEntropy()
    try forEachGroup(of: input, after: memory, run) { _, part, run in
      total = total + (try loss(part, smoothing: smoothing, gradientScale: gradientScale, run))
    }
    return total
  }

  /// The targets that count: none in padding. Those of a classifier are of whole sequences.
  func scoredTargets(_ input: ModelInput) -> [Int32] {
    head(of: input.task).classifier == nil ? input.scoredTargets : input.targets
  }

  /// Sets all gradients to 0.
  public func clearGradients() {
    state.gradients.fill(0)
  }

  /// The root of the sum of squares of all gradients. Those of auxiliary heads are summed apart: where they are 0, the norm has the
  /// bits of a model without them.
  public func gradientNorm() throws -> Double {
    let gradients = state.gradients
    guard let first = firstOfHeads else { return try context.sumOfSquares(gradients).squareRoot() }
    let sums = try [0..<first, first..<gradients.count].map {
      try context.sumOfSquares(gradients.narrowed(axis: 0, to: $0))
    }
    return sums.reduce(0, +).squareRoot()
  }
}
