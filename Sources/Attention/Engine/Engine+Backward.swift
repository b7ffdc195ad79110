import AttentionCore
import CKernels
import Tensors

extension Engine {
  /// Computes the gradients of q, k and v of a forward pass over the same pattern.
  ///
  /// With `P = exp(scale·QKᵀ − lse)` on the listed pairs and `D = rowsum(dO ∘ O)`:
  /// `dV = Pᵀ dO`, `dS = P ∘ (dO Vᵀ − D)`, `dQ = scale · dS K`, `dK = scale · dSᵀ Q`. P is recomputed, not stored.
  /// Rows of bfloat16 inputs are up-converted as they are read, and all five products are those of float32: the bits are
  /// those of inputs that were up-converted before.
  /// - Parameters:
  ///   - outputGradient: of the shape of the output; last axis contiguous.
  ///   - output: the forward result (any output that has `lse` as its log-sum-exp over all keys of the row).
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(executed pairs · (headDim + valueDim)); memory: see `BackwardPlan`.
  public static func backward(
    outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, lse: Tensor,
    shape: AttentionShape, scale: Double, pattern: TilePattern, in context: ExecutionContext
  ) throws -> Operands {
    Operands(query: query, key: key, value: value).check(shape)
    precondition(
      outputGradient.shape == shape.outputShape, "gradient \(outputGradient.shape), not \(shape.outputShape)")
    precondition(output.shape == shape.outputShape, "output \(output.shape), not \(shape.outputShape)")
    precondition(lse.shape == shape.lseShape, "LSE \(lse.shape), not \(shape.lseShape)")
    precondition(
      [outputGradient, output, lse].allSatisfy { $0.precision == .float32 },
      "output, LSE or gradient not float32")
    let (lse, vastRows) = try BackwardPass.withoutVastRows(lse, shape, ledger: context.ledger)
    let plan = backwardPlan(of: pattern, for: shape)
    var queryGradient = try Tensor(uninitialized: shape.queryShape, ledger: context.ledger)
    var keyGradient = try Tensor(uninitialized: shape.keyShape, ledger: context.ledger)
    var valueGradient = try Tensor(uninitialized: shape.valueShape, ledger: context.ledger)
    let accumulators = try Region(
      [plan.accumulatorCount, BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)], in: context.ledger)
    let partials = try Region([plan.partials.count, Int(ATTN_LANES) * shape.headDim], in: context.ledger)
    let pass = BackwardPass(
      plan: plan, stripes: rowStripes(of: pattern, plan, for: shape, threads: context.threads),
      pattern: pattern, shape: shape, scale: scale, context: context, query: InputRows(query),
      key: InputRows(key), value: InputRows(value), outputGradient: outputGradient.rows(),
      output: output.rows(), lse: lse.rows(), queryGradient: queryGradient.rowsForWriting(),
      keyGradient: keyGradient.rowsForWriting(), valueGradient: valueGradient.rowsForWriting(),
      accumulators: accumulators, partials: partials)
    try pass.run()
    pass.addVastRows(vastRows)
    if shape.keyLength == 1 {
      // One key has weight 1 whatever its score, so the score's gradient is 0, not the rounding error of dP − D.
      queryGradient = try Tensor(zeros: shape.queryShape, ledger: context.ledger)
      keyGradient = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
    }
    return Operands(query: queryGradient, key: keyGradient, value: valueGradient)
  }
}
