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
    var accumulators = try Tensor(
      uninitialized: [plan.accumulatorCount, BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)],
      ledger: context.ledger)
    var partials = try Tensor(
      uninitialized: [plan.partials.count, Int(ATTN_LANES) * shape.headDim], ledger: context.ledger)
    let strides = (queryGradient.strides, keyGradient.strides, valueGradient.strides)
    try queryGradient.withUnsafeMutablePointer { dq throws in
      try keyGradient.withUnsafeMutablePointer { dk throws in
        try valueGradient.withUnsafeMutablePointer { dv throws in
          try accumulators.withUnsafeMutablePointer { accumulatorBase throws in
            try partials.withUnsafeMutablePointer { partialBase throws in
              try withReading([query, key, value, outputGradient, output, lse]) { inputs throws in
                func rows(_ index: Int, _ tensor: Tensor) -> Rows {
                  Rows(reading: inputs[index].assumingMemoryBound(to: Float.self), tensor)
                }
                let pass = BackwardPass(
                  plan: plan, pattern: pattern, shape: shape, scale: scale, context: context,
                  query: InputRows(inputs[0], query), key: InputRows(inputs[1], key),
                  value: InputRows(inputs[2], value), outputGradient: rows(3, outputGradient),
                  output: rows(4, output), lse: rows(5, lse), queryGradient: Rows(dq, strides: strides.0),
                  keyGradient: Rows(dk, strides: strides.1), valueGradient: Rows(dv, strides: strides.2),
                  accumulators: Region(base: accumulatorBase), partials: Region(base: partialBase))
                try pass.run()
                pass.addVastRows(vastRows)
              }
            }
          }
        }
      }
    }
    if shape.keyLength == 1 {
      // One key has weight 1 whatever its score, so the score's gradient is 0, not the rounding error of dP − D.
      queryGradient = try Tensor(zeros: shape.queryShape, ledger: context.ledger)
      keyGradient = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
    }
    return Operands(query: queryGradient, key: keyGradient, value: valueGradient)
  }

  /// Calls `body` with where the tensors lie, each kept alive.
  private static func withReading<R>(
    _ tensors: [Tensor], _ body: ([UnsafeRawPointer]) throws -> R
  ) rethrows -> R {
    func open(_ index: Int, _ bases: [UnsafeRawPointer]) throws -> R {
      guard index < tensors.count else { return try body(bases) }
      return try tensors[index].withUnsafeRawPointer { base throws in try open(index + 1, bases + [base]) }
    }
    return try open(0, [])
  }
}
