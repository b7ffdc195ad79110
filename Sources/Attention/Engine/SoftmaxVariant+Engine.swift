import AttentionCore
import Tensors

extension Engine {
  /// The exact softmax over the pairs of a pattern, with its way back: output, LSE, and the gradients of q, k and v.
  ///
  /// A variant whose scores are products of longer vectors than q and k, or whose keys are made of others, calls this on
  /// what it made and turns the gradients back.
  /// - Parameters:
  ///   - inputs: q, k and v; others are not read.
  ///   - shape: the sizes, causality and padding.
  ///   - scale: the factor on q·k.
  ///   - pattern: the tiles of the pairs that count.
  ///   - backwardPattern: the tiles of the way back, the same pairs.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public static func attend(
    _ inputs: Operands, shape: AttentionShape, scale: Double, pattern: TilePattern,
    backwardPattern: @escaping @Sendable () -> TilePattern, in context: ExecutionContext
  ) throws -> Forward {
    try attend(
      inputs, startingWith: nil, shape: shape, scale: scale, pattern: pattern,
      backwardPattern: backwardPattern,
      in: context)
  }

  /// The same with rows that may start with a logit.
  /// - Parameter logits: one for each query head, `nil`: none. It is that of a key whose value is 0, of which the way back says nothing.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  static func attend(
    _ inputs: Operands, startingWith logits: [Float]?, shape: AttentionShape, scale: Double,
    pattern: TilePattern, backwardPattern: @escaping @Sendable () -> TilePattern, in context: ExecutionContext
  ) throws -> Forward {
    let (query, key, value) = (inputs.query, inputs.key, inputs.value)
    var stages = ScoreStages.products
    stages.logits = logits
    let (output, lse) = try forward(
      query: query, key: key, value: value, shape: shape, scale: scale, stages: stages, pattern: pattern,
      in: context)
    return Forward(output: output, lse: lse) { outputGradient, rows, context in
      try backward(
        outputGradient: outputGradient, query: query, key: key, value: value, rows: rows, shape: shape,
        scale: scale, pattern: backwardPattern(), in: context)
    }
  }

  /// The same with one pattern for both passes.
  public static func attend(
    _ inputs: Operands, shape: AttentionShape, scale: Double, pattern: TilePattern,
    in context: ExecutionContext
  ) throws -> Forward {
    try attend(
      inputs, shape: shape, scale: scale, pattern: pattern, backwardPattern: { pattern }, in: context)
  }

  /// The exact softmax of other scores than products over the pairs of a pattern. bfloat16 inputs are up-converted.
  /// - Parameters:
  ///   - stages: what makes scores; the scale is 1 with additive ones.
  ///   - learned: the gradients of what the stages are made of, by name, from that of w and from the slopes that rows have
  ///     summed by bucket (`gradients`).
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  static func attend(
    _ inputs: Operands, _ stages: ScoreStages, shape: AttentionShape, scale: Double, pattern: TilePattern,
    backwardPattern: @escaping @Sendable () -> TilePattern, in context: ExecutionContext,
    learned:
      @escaping @Sendable (_ energy: Tensor?, _ sums: Tensor?, _ context: ExecutionContext) throws
      -> [Operand.Name: Tensor]
  ) throws -> Forward {
    let wide = try inputs.converted(to: .float32, ledger: context.ledger)
    let shape = shape.with(precision: .float32)
    let (query, key, value) = (wide.query, wide.key, wide.value)
    let (output, lse) = try forward(
      query: query, key: key, value: value, shape: shape, scale: scale, stages: stages, pattern: pattern,
      in: context)
    var stages = stages
    // The way back is that of the keys alone, whose rows have others.
    stages.logits = nil
    return Forward(output: output, lse: lse) { [stages] outputGradient, rows, context in
      let (operands, energy, sums) = try gradients(
        outputGradient: outputGradient, query: query, key: key, value: value, rows: rows, shape: shape,
        scale: scale, stages: stages, pattern: backwardPattern(), in: context)
      var gradient = operands
      for (name, tensor) in try learned(energy, sums, context) { gradient[name] = tensor }
      return gradient
    }
  }

  /// The gradients of a pass over all keys of its rows.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public static func backward(
    outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, lse: Tensor,
    shape: AttentionShape, scale: Double, pattern: TilePattern, in context: ExecutionContext
  ) throws -> Operands {
    try backward(
      outputGradient: outputGradient, query: query, key: key, value: value,
      rows: SoftmaxRows(output: output, lse: lse, hasOtherKeys: false), shape: shape, scale: scale,
      pattern: pattern, in: context)
  }
}

extension SoftmaxVariant {
  /// Output and LSE by the engine over the pattern of the inputs.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    let pattern = try pattern(for: inputs, in: context)
    return try Engine.attend(
      inputs, shape: shape, scale: scale, pattern: pattern,
      backwardPattern: { backwardPattern(of: pattern) }, in: context)
  }
}

extension PatternVariant {
  /// Plans a pass over the fixed pattern.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    try Engine.prepare(
      pass == .backward ? backwardPattern : pattern, for: pass, shape: shape, in: context)
  }
}
