import AttentionCore
import Tensors

extension Engine {
  /// The exact softmax over the pairs of a pattern, with its way back: output, LSE, and the gradients of q, k and v.
  ///
  /// A variant whose scores are products of longer vectors than q and k, or whose keys are made of others, calls this on
  /// what it made and turns the gradients back.
  /// - Parameters:
  ///   - inputs: q, k and v; others are not read.
  ///   - scale: the factor on q·k.
  ///   - backwardPattern: the tiles of the way back, the same pairs.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public static func attend(
    _ inputs: Operands, shape: AttentionShape, scale: Double, pattern: TilePattern,
    backwardPattern: @escaping @Sendable () -> TilePattern, in context: ExecutionContext
  ) throws -> Forward {
    let (query, key, value) = (inputs.query, inputs.key, inputs.value)
    let (output, lse) = try forward(
      query: query, key: key, value: value, shape: shape, scale: scale, pattern: pattern, in: context)
    return Forward(output: output, lse: lse) { outputGradient, context in
      try backward(
        outputGradient: outputGradient, query: query, key: key, value: value, output: output, lse: lse,
        shape: shape, scale: scale, pattern: backwardPattern(), in: context)
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
