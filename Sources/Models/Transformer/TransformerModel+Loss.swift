import Layers
import Tensors

extension TransformerModel {
  /// The loss of one pass, and, unless `gradientScale` is 0, the gradients of its multiple.
  func loss(
    _ input: ModelInput, smoothing: Double, gradientScale: Double, _ run: LayerRun
  ) throws -> CrossEntropy {
    let (h, run, pullback) = try hidden(input, run)
    if let classifier {
      let (pooled, poolingPullback) = try pool(h, run)
      var scored = try classifier.forward(pooled, run)
      let loss = try context.crossEntropy(
        &scored.output, targets: input.targets, smoothing: smoothing, gradientScale: gradientScale)
      guard gradientScale != 0 else { return loss }
      try pullback(poolingPullback(scored.pullback(scored.output)))
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
    let loss = try context.crossEntropy(
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
    try pullback(dh)
    return loss
  }
}
