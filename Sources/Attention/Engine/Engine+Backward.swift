import AttentionCore
import CKernels
import Tensors

extension Engine {
  /// Computes the gradients of q, k and v of a forward pass over the same pattern.
  ///
  /// With `P = exp(scale·QKᵀ − lse)` on the listed pairs and `D = rowsum(dO ∘ O)`:
  /// `dV = Pᵀ dO`, `dS = P ∘ (dO Vᵀ − D)`, `dQ = scale · dS K`, `dK = scale · dSᵀ Q`. P is recomputed, not stored.
  /// bfloat16 inputs are widened first, and all five products are those of float32.
  /// - Parameters:
  ///   - outputGradient: of the shape of the output; last axis contiguous.
  ///   - output: the forward result (any output that has `lse` as its log-sum-exp over all keys of the row).
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(pairs visited · (headDim + valueDim)); memory: see `BackwardPlan`.
  public static func backward(
    outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, lse: Tensor,
    shape: AttentionShape, scale: Double, pattern: TilePattern, in context: ExecutionContext
  ) throws -> QKVGradient {
    QKV(query: query, key: key, value: value).check(shape)
    if shape.precision != .float32 {
      let wide = try QKV(query: query, key: key, value: value).converted(to: .float32, ledger: context.ledger)
      return try backward(
        outputGradient: outputGradient, query: wide.query, key: wide.key, value: wide.value, output: output,
        lse: lse, shape: shape.with(precision: .float32), scale: scale, pattern: pattern, in: context)
    }
    precondition(
      outputGradient.shape == shape.outputShape, "gradient \(outputGradient.shape), not \(shape.outputShape)")
    precondition(output.shape == shape.outputShape, "output \(output.shape), not \(shape.outputShape)")
    precondition(lse.shape == shape.lseShape, "LSE \(lse.shape), not \(shape.lseShape)")
    let plan = BackwardPlan(pattern: pattern, shape: shape)
    var queryGradient = try Tensor(uninitialized: shape.queryShape, ledger: context.ledger)
    var keyGradient = try Tensor(uninitialized: shape.keyShape, ledger: context.ledger)
    var valueGradient = try Tensor(uninitialized: shape.valueShape, ledger: context.ledger)
    var copies = try Tensor(
      uninitialized: [plan.copyCount, BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)],
      ledger: context.ledger)
    var slots = try Tensor(
      uninitialized: [plan.parts.count, Int(ATTN_LANES) * shape.headDim], ledger: context.ledger)
    let strides = (queryGradient.strides, keyGradient.strides, valueGradient.strides)
    try queryGradient.withUnsafeMutablePointer { dq throws in
      try keyGradient.withUnsafeMutablePointer { dk throws in
        try valueGradient.withUnsafeMutablePointer { dv throws in
          try copies.withUnsafeMutablePointer { copyBase throws in
            try slots.withUnsafeMutablePointer { slotBase throws in
              try withReading([query, key, value, outputGradient, output, lse]) { inputs throws in
                let pass = BackwardPass(
                  plan: plan, pattern: pattern, shape: shape, scale: scale, context: context,
                  query: inputs[0], key: inputs[1], value: inputs[2], outputGradient: inputs[3],
                  output: inputs[4], lse: inputs[5], queryGradient: Rows(dq, strides: strides.0),
                  keyGradient: Rows(dk, strides: strides.1), valueGradient: Rows(dv, strides: strides.2),
                  copies: Region(base: copyBase), slots: Region(base: slotBase))
                try pass.run()
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
    return QKVGradient(query: queryGradient, key: keyGradient, value: valueGradient)
  }

  /// Calls `body` with the rows of all tensors, each kept alive.
  private static func withReading<R>(_ tensors: [Tensor], _ body: ([Rows]) throws -> R) rethrows -> R {
    func open(_ index: Int, _ rows: [Rows]) throws -> R {
      guard index < tensors.count else { return try body(rows) }
      return try tensors[index].withUnsafePointer { base throws in
        try open(index + 1, rows + [Rows(reading: base, tensors[index])])
      }
    }
    return try open(0, [])
  }
}
