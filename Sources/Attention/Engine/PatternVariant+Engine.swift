import AttentionCore
import Tensors

extension PatternVariant {
  /// Output and LSE by the engine over `pattern`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: QKV, in context: ExecutionContext) throws -> Forward<NothingSaved> {
    let result = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: shape.effectiveScale,
      pattern: pattern, in: context)
    return Forward(output: result.output, lse: result.lse, saved: NothingSaved())
  }

  /// Gradients by the engine over `backwardPattern`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func backward(
    _ outputGradient: Tensor, _ inputs: QKV, _ forward: Forward<NothingSaved>, in context: ExecutionContext
  ) throws -> QKVGradient {
    try Engine.backward(
      outputGradient: outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: forward.output, lse: forward.lse, shape: shape, scale: shape.effectiveScale,
      pattern: backwardPattern,
      in: context)
  }
}
