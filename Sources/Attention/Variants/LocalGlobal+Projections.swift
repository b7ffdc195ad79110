import AttentionCore
import Tensors

/// Longformer's separate global projections: global rows read a second q, k and v, so they are a pass of their own.
extension LocalGlobal {
  /// Output and LSE; with a second set of projections in two passes over disjoint rows.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: QKV, in context: ExecutionContext) throws -> Forward<NothingSaved> {
    let first = inputs.global == nil ? pattern : part(.local, .forward)
    var (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: shape.effectiveScale,
      pattern: first, in: context)
    if let global = inputs.global {
      try Engine.forward(
        query: global.query, key: global.key, value: global.value, shape: shape, scale: shape.effectiveScale,
        pattern: part(.global, .forward), into: &output, lse: &lse, in: context)
    }
    return Forward(output: output, lse: lse, saved: NothingSaved())
  }

  /// Gradients of the first set, and of the second when there is one.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func backward(
    _ outputGradient: Tensor, _ inputs: QKV, _ forward: Forward<NothingSaved>, in context: ExecutionContext
  ) throws -> QKVGradient {
    var gradient = try Engine.backward(
      outputGradient: outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: forward.output, lse: forward.lse, shape: shape, scale: shape.effectiveScale,
      pattern: inputs.global == nil ? backwardPattern : part(.local, .backward), in: context)
    guard let global = inputs.global else { return gradient }
    let second = try Engine.backward(
      outputGradient: outputGradient, query: global.query, key: global.key, value: global.value,
      output: forward.output, lse: forward.lse, shape: shape, scale: shape.effectiveScale,
      pattern: part(.global, .backward),
      in: context)
    gradient.global = QKV.Projections(query: second.query, key: second.key, value: second.value)
    return gradient
  }
}
