import AttentionCore
import Layers
import RealModule
import Tensors

extension TransformerModel {
  /// The loss of one pass, and, unless `gradientScale` is 0, the gradients of its multiple.
  package func loss(
    _ input: ModelInput, smoothing: Double, gradientScale: Double, _ run: LayerRun
  ) throws -> CrossEntropy {
    let head = head(of: input.task)
    if let pretext {
      return try loss(of: pretext, input, smoothing: smoothing, gradientScale: gradientScale, run)
    }
    let record = draws && gradientScale != 0 ? LossRecord() : nil
    var start = run
    start.losses = record
    let (h, run, pullback) = try hidden(input, start)
    if let classifier = head.classifier {
      let (pooled, poolingPullback) = try head.pool(h, run)
      if let spread = run.spread, !spread.isFirst {
        // The class of a shared sequence is one rank's, which hands back what it learns.
        if gradientScale != 0 { try pullback(poolingPullback(context.zeros(pooled.shape))) }
        return CrossEntropy()
      }
      var scored = try classifier.forward(pooled, run)
      let (loss, rows, _) = try context.crossEntropies(
        &scored.output, targets: input.targets, smoothing: smoothing, gradientScale: gradientScale)
      guard gradientScale != 0 else { return loss }
      record?.signal = signal(
        rows, at: Array(rows.indices), of: input.targets, input, gradientScale,
        outputs: scored.output.shape[1])
      try pullback(poolingPullback(scored.pullback(scored.output)))
      return loss
    }
    guard let outputWeight = head.output else { preconditionFailure("a model has an output or a classifier") }
    // Only labelled rows get logits: recall tasks label a few positions of many.
    let scored = scoredTargets(input)
    let rows = scored.indices.filter { scored[$0] >= 0 }.map { Int32($0) }
    guard !rows.isEmpty else {
      // Other ranks' rows may be labelled, and their way back comes by the keys that this one has.
      if run.spread != nil, gradientScale != 0 { try pullback(context.zeros(h.shape)) }
      return CrossEntropy()
    }
    let isDense = rows.count == scored.count
    let chosen = isDense ? h : try context.lookUp(rows, in: h)
    let targets = isDense ? scored : rows.map { scored[Int($0)] }
    let weight = run.weight(outputWeight)
    let cap = configuration.logitSoftcap
    var logits = try plainLogits(chosen, run, head)
    // Kept for the way back alone: a second reference would make the gradients, which take the place of logits, a copy of them.
    let before = cap > 0 ? logits : nil
    if cap > 0 { logits = try context.softcapped(logits, at: cap) }
    var (loss, losses, hits) = try context.crossEntropies(
      &logits, targets: targets, smoothing: smoothing, gradientScale: gradientScale)
    let places = rows.map { Int($0) }
    if run.spread == nil {
      (loss.sequences, loss.sequencesRight) = Self.sequences(of: places, length: input.length, hits)
    }
    guard gradientScale != 0 else { return loss }
    record?.signal = signal(
      losses, at: places, of: scored, input, gradientScale, outputs: logits.shape[1])
    if let before { logits = try context.softcappedBackward(logits, x: before, at: cap) }
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

  /// How many sequences have a scored row, and of how many every scored row was right.
  /// - Parameters:
  ///   - places: where the scored rows stand in the targets, in increasing order.
  ///   - length: rows of a sequence.
  ///   - hits: whether each was right.
  private static func sequences(of places: [Int], length: Int, _ hits: [Bool]) -> (all: Int, right: Int) {
    var (all, right, last, isRight) = (0, 0, -1, false)
    for (place, hit) in zip(places, hits) {
      if place / length != last {
        right += isRight ? 1 : 0
        (all, last, isRight) = (all + 1, place / length, true)
      }
      isRight = isRight && hit
    }
    return (all, right + (isRight ? 1 : 0))
  }

  /// What layers that drew learn of a loss, by sequence.
  /// - Parameters:
  ///   - losses: of rows, in nats.
  ///   - places: where these rows stand in the targets.
  ///   - targets: those of the input that count.
  ///   - outputs: the choices of a prediction: before anything was learned a loss is that of choosing blindly.
  private func signal(
    _ losses: [Double], at places: [Int], of targets: [Int32], _ input: ModelInput, _ weight: Double,
    outputs: Int
  ) -> LossSignal {
    var sums = [Double](repeating: 0, count: input.batch), expected = sums
    let nats = state.expectedLoss ?? Double.log(Double(outputs))
    for (loss, place) in zip(losses, places) where targets[place] >= 0 {
      // Rows of a batch stand one sequence after another.
      let sequence = place * input.batch / targets.count
      sums[sequence] += weight * loss
      expected[sequence] += weight * nats
    }
    return LossSignal(losses: sums, expected: expected, weight: weight)
  }
}
