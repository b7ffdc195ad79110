import Basics
import Tensors

extension TransformerModel {
  /// What backward needs of a forward pass.
  struct Saved {
    let embedding: Embedding.Saved
    let stack: Stack.Saved
    let sourceEmbedding: Embedding.Saved?
    let encoder: Stack.Saved?
  }

  /// The last hidden states of the main stack, `[batch·length, width]`.
  func hidden(_ input: ModelInput, _ run: LayerRun) throws -> (Tensor, Saved) {
    let (x, embedded) = try embedding.forward(
      input.tokens, batch: input.batch, lengths: input.lengths, run)
    if let decoder {
      var memory: Tensor?
      var sourceSaved: Embedding.Saved?
      var encoderSaved: Stack.Saved?
      if let sourceEmbedding, let encoder {
        let (source, kept) = try sourceEmbedding.forward(
          input.source, batch: input.batch, lengths: input.sourceLengths, run)
        let (encoded, saved) = try encoder.forward(
          source, batch: input.batch, lengths: input.sourceLengths, run)
        (memory, sourceSaved, encoderSaved) = (encoded, kept, saved)
      }
      // Padding stands at the end, where no earlier row sees it; but a pattern may depend on where a sequence ends.
      let (y, saved) = try decoder.forward(
        x, memory: memory, batch: input.batch, lengths: input.lengths, memoryLengths: input.sourceLengths,
        run)
      return (
        y, Saved(embedding: embedded, stack: saved, sourceEmbedding: sourceSaved, encoder: encoderSaved)
      )
    }
    guard let encoder else { preconditionFailure("a model has an encoder or a decoder") }
    let (y, saved) = try encoder.forward(x, batch: input.batch, lengths: input.lengths, run)
    return (y, Saved(embedding: embedded, stack: saved, sourceEmbedding: nil, encoder: nil))
  }

  func hiddenBackward(_ dy: Tensor, _ saved: Saved, _ run: LayerRun) throws {
    guard let main = decoder ?? encoder else { preconditionFailure("a model has an encoder or a decoder") }
    let (dx, dMemory) = try main.backward(dy, saved.stack, run)
    try embedding.backward(dx, saved.embedding, run)
    guard let dMemory, let encoder, let kept = saved.encoder, let sourceEmbedding,
      let source = saved.sourceEmbedding
    else { return }
    try sourceEmbedding.backward(try encoder.backward(dMemory, kept, run).x, source, run)
  }

  /// The last hidden states in evaluation, `[batch, length, width]`.
  /// - Throws: `ConfigurationError` for an input that does not fit; what attention throws.
  public func hiddenStates(_ input: ModelInput) throws -> Tensor {
    try input.validate(for: configuration)
    let (h, _) = try hidden(input, layerRun(training: false))
    return h.reshaped([input.batch, input.length, configuration.width])
  }

  /// Logits in evaluation: `[batch, length, vocabulary]`, or `[batch, classes]`.
  /// - Throws: `ConfigurationError` for an input that does not fit; what attention throws.
  public func logits(_ input: ModelInput) throws -> Tensor {
    try input.validate(for: configuration)
    let run = layerRun(training: false)
    let (h, _) = try hidden(input, run)
    if let classifier {
      return try classifier.forward(
        context.meanRows(h, batch: input.batch, lengths: valid(input)), run)
    }
    guard let outputWeight else { preconditionFailure("a model has an output or a classifier") }
    return try context.matmul(h, .plain, run.weight(outputWeight), .transposed)
      .reshaped([input.batch, input.length, configuration.vocabulary])
  }

  func valid(_ input: ModelInput) -> [Int] {
    input.lengths ?? [Int](repeating: input.length, count: input.batch)
  }

  /// The loss in evaluation.
  /// - Throws: what attention throws.
  public func loss(_ input: ModelInput, smoothing: Double = 0) throws -> CrossEntropy {
    try loss(input, smoothing: smoothing, gradientScale: 0, layerRun(training: false))
  }

  /// The loss in training; adds the gradients of `factor·mean loss` to the model's gradients.
  /// - Parameters:
  ///   - key: the root of this step's dropout choices.
  ///   - training: false: gradients as in evaluation, without dropout.
  /// - Throws: what attention throws.
  public func accumulateGradients(
    _ input: ModelInput, smoothing: Double = 0, factor: Double = 1, key: RandomKey, training: Bool = true
  ) throws -> CrossEntropy {
    let counted = scoredTargets(input).count { $0 >= 0 }
    guard counted > 0 else { return CrossEntropy() }
    return try loss(
      input, smoothing: smoothing, gradientScale: factor / Double(counted),
      layerRun(training: training, key: key)
    )
  }

  /// The targets that count: none in padding. Those of a classifier are of whole sequences.
  private func scoredTargets(_ input: ModelInput) -> [Int32] {
    classifier == nil ? input.scoredTargets : input.targets
  }

  private func loss(
    _ input: ModelInput, smoothing: Double, gradientScale: Double, _ run: LayerRun
  ) throws -> CrossEntropy {
    let (h, saved) = try hidden(input, run)
    if let classifier {
      let lengths = valid(input)
      let pooled = try context.meanRows(h, batch: input.batch, lengths: lengths)
      var logits = try classifier.forward(pooled, run)
      let loss = context.crossEntropy(
        &logits, targets: input.targets, smoothing: smoothing, gradientScale: gradientScale)
      guard gradientScale != 0 else { return loss }
      let dPooled = try classifier.backward(logits, x: pooled, run)
      try hiddenBackward(
        context.meanRowsBackward(dPooled, length: input.length, lengths: lengths), saved, run)
      return loss
    }
    guard let outputWeight else { preconditionFailure("a model has an output or a classifier") }
    // Only labelled rows get logits: recall tasks label a few positions of many.
    let scored = scoredTargets(input)
    let rows = scored.indices.filter { scored[$0] >= 0 }.map { Int32($0) }
    guard !rows.isEmpty else { return CrossEntropy() }
    let isDense = rows.count == scored.count
    let chosen = isDense ? h : try context.lookUp(rows, in: h)
    let targets = isDense ? scored : rows.map { scored[Int($0)] }
    let weight = run.weight(outputWeight)
    var logits = try context.matmul(chosen, .plain, weight, .transposed)
    let loss = context.crossEntropy(
      &logits, targets: targets, smoothing: smoothing, gradientScale: gradientScale)
    guard gradientScale != 0 else { return loss }
    try context.gemm(
      logits, .transposed, chosen, .plain, into: &state.gradients, at: outputWeight.offset, accumulate: true)
    var dh = try context.matmul(logits, .plain, weight, .plain)
    if !isDense {
      var full = try context.zeros(h.shape)
      context.accumulateRows(dh, at: rows, into: &full, at: 0)
      dh = full
    }
    try hiddenBackward(dh, saved, run)
    return loss
  }

  /// Sets all gradients to 0.
  public func clearGradients() {
    let count = state.gradients.count
    state.gradients.withUnsafeMutablePointer { $0.update(repeating: 0, count: count) }
  }

  /// The root of the sum of squares of all gradients.
  public func gradientNorm() throws -> Double { try context.sumOfSquares(state.gradients).squareRoot() }
}
