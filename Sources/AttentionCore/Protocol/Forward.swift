import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a forward pass returns, with its way back.
///
/// The way back keeps what it captured (inputs, tiles, weights) until it is dropped: an evaluation that asks for `output`
/// alone gives all of it back at once.
public struct Forward: Sendable {
  /// The gradients of the operands from the gradient of the output.
  public typealias Pullback =
    @Sendable (_ outputGradient: Tensor, _ context: ExecutionContext) throws -> Operands
  /// The same for a pass whose keys may be only some of those that its rows' softmax goes over.
  public typealias PartialPullback =
    @Sendable (_ outputGradient: Tensor, _ rows: SoftmaxRows, _ context: ExecutionContext) throws -> Operands

  /// The same for a pass that drew, told what the loss turned out to be; `nil`: that is not known.
  public typealias DrawnPullback =
    @Sendable (_ outputGradient: Tensor, _ losses: LossSignal?, _ context: ExecutionContext) throws ->
    Operands

  private enum WayBack: Sendable {
    case whole(Pullback)
    case drawn(DrawnPullback)
    case partial(PartialPullback)
  }

  /// `[batch, queryHeads, queryLength, valueDim]`; 0 in rows without keys.
  public var output: Tensor
  /// Natural-log sum of exponentials of the scaled scores, `[batch, queryHeads, queryLength]`; −∞ in rows without keys. NaN
  /// says that a score of the row is not finite in single precision, which `AttentionVariant.attend` refuses. `nil` of a
  /// variant without a softmax, such as a recurrence, which refuses for itself what it cannot compute.
  public var lse: Tensor?
  /// Rows of padding whose scores were beyond single precision, as places in `lse`: `AttentionVariant.attend` made them 0
  /// and −∞. Who calls with queries of another kind than padding reads here what was taken away.
  public internal(set) var clearedPadding: [Int] = []
  /// Rows of padding that a variant without a log-sum-exp could not compute, as places in all rows: their outputs are no numbers.
  public var overflowedPadding: [Int] = []
  private let wayBack: WayBack

  /// Creates a result.
  public init(output: Tensor, lse: Tensor?, pullback: @escaping Pullback) {
    self.output = output
    self.lse = lse
    wayBack = .whole(pullback)
  }

  /// Creates the result of a pass that can also be one part of a softmax over more keys. Its way back is given output and
  /// LSE and need not keep them.
  public init(output: Tensor, lse: Tensor, partialPullback: @escaping PartialPullback) {
    self.output = output
    self.lse = lse
    wayBack = .partial(partialPullback)
  }

  /// Creates the result of a pass that drew.
  public init(output: Tensor, lse: Tensor?, drawnPullback: @escaping DrawnPullback) {
    self.output = output
    self.lse = lse
    wayBack = .drawn(drawnPullback)
  }

  private init(output: Tensor, lse: Tensor?, wayBack: WayBack) {
    (self.output, self.lse, self.wayBack) = (output, lse, wayBack)
  }

  /// The way back as a part of a softmax over more keys; `nil`: the pass knows none.
  public var partialPullback: PartialPullback? {
    if case .partial(let pullback) = wayBack { pullback } else { nil }
  }

  /// Output and LSE of a result that is given up, so that they can be changed in place.
  /// - Precondition: the result of a softmax.
  public consuming func results() -> (output: Tensor, lse: Tensor) {
    guard let lse else { preconditionFailure("a result without a log-sum-exp") }
    return (output, lse)
  }

  /// The same result for a variant that made the operands of this pass from its own: `body` turns gradients back.
  public func turningBack(
    _ body: @escaping @Sendable (_ gradient: Operands, _ context: ExecutionContext) throws -> Operands
  ) -> Forward {
    switch wayBack {
    case .whole(let pullback):
      Forward(output: output, lse: lse, pullback: { try body(pullback($0, $1), $1) })
    case .drawn(let pullback):
      Forward(output: output, lse: lse, drawnPullback: { try body(pullback($0, $1, $2), $2) })
    case .partial(let pullback):
      Forward(output: output, lse: lse, wayBack: .partial { try body(pullback($0, $1, $2), $2) })
    }
  }

  /// The gradients of the operands that were given, from the gradient of the output.
  /// - Parameters:
  ///   - outputGradient: of the output's shape.
  ///   - losses: what the loss turned out to be, for a pass that drew; `nil`: draws are taken as given.
  ///   - context: threads, instruction set and ledger.
  /// - Returns: a gradient for each operand that has one.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func backward(
    _ outputGradient: Tensor, knowing losses: LossSignal? = nil, in context: ExecutionContext
  ) throws -> Operands {
    switch wayBack {
    case .whole(let pullback): return try pullback(outputGradient, context)
    case .drawn(let pullback): return try pullback(outputGradient, losses, context)
    case .partial(let pullback):
      guard let lse else { preconditionFailure("a part of a softmax without a log-sum-exp") }
      return try pullback(
        outputGradient, SoftmaxRows(output: output, lse: lse, hasOtherKeys: false), context)
    }
  }
}

/// Output and LSE of query rows over *all* keys of their softmax.
///
/// A pass over some of these keys has the weights `p_ij = exp(s_ij − lse_i)` and `dS_ij = p_ij (dO_i·v_j − dO_i·o_i)` whatever
/// the other keys are, so that its gradients need nothing else of them.
public struct SoftmaxRows: Sendable {
  /// `[batch, queryHeads, queryLength, valueDim]`.
  public let output: Tensor
  /// `[batch, queryHeads, queryLength]`.
  public let lse: Tensor
  /// Whether there may be keys (or a sink) besides those of the pass: then one key alone has not all the weight.
  public let hasOtherKeys: Bool

  /// Gathers them.
  public init(output: Tensor, lse: Tensor, hasOtherKeys: Bool) {
    self.output = output
    self.lse = lse
    self.hasOtherKeys = hasOtherKeys
  }

  /// The share of a row's weight that keys of the log-sum-exp `part` have, when that of all is `whole` in single precision.
  ///
  /// Where `whole` is so large that the rounding of scores is more than any exponential bears, what is equal to it within that
  /// has all the weight.
  public static func share(of part: Double, in whole: Float) -> Double {
    let difference = part - Double(whole)
    if whole.magnitude > 0x1p16, difference.magnitude <= 0x1p-14 * Double(whole.magnitude) { return 1 }
    return exp(min(0, difference))
  }
}
