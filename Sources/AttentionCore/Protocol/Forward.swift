import Tensors

/// What a forward pass returns, with its way back.
///
/// The way back keeps what it captured (inputs, tiles, weights) until it is dropped: an evaluation that asks for `output`
/// alone gives all of it back at once.
public struct Forward: Sendable {
  /// The gradients of the operands from the gradient of the output.
  public typealias Pullback =
    @Sendable (_ outputGradient: Tensor, _ context: ExecutionContext) throws -> Operands

  /// `[batch, queryHeads, queryLength, valueDim]`; 0 in rows without keys.
  public var output: Tensor
  /// Natural-log sum of exponentials of the scaled scores, `[batch, queryHeads, queryLength]`; −∞ in rows without keys. NaN
  /// says that a score of the row is not finite in single precision, which `AttentionVariant.attend` refuses. `nil` of a
  /// variant without a softmax, such as a recurrence, which refuses for itself what it cannot compute.
  public var lse: Tensor?
  /// The way back.
  public let pullback: Pullback

  /// Creates a result.
  public init(output: Tensor, lse: Tensor?, pullback: @escaping Pullback) {
    self.output = output
    self.lse = lse
    self.pullback = pullback
  }

  /// The gradients of the operands that were given, from the gradient of the output.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func backward(_ outputGradient: Tensor, in context: ExecutionContext) throws -> Operands {
    try pullback(outputGradient, context)
  }
}
