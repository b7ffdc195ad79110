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
  ///   - query: `[batch, queryHeads, queryLength, headDim]`.
  ///   - key: `[batch, keyHeads, keyLength, headDim]`.
  ///   - value: `[batch, keyHeads, keyLength, valueDim]`.
  ///   - all: output and LSE over all keys of the rows, be they in the pattern or not.
  ///   - shape: the sizes, causality and padding.
  ///   - scale: the factor on q·k.
  ///   - pattern: the tiles of the pairs that count.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(executed pairs · (headDim + valueDim)); memory: see `BackwardPlan`.
  public static func backward(
    outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, rows all: SoftmaxRows,
    shape: AttentionShape, scale: Double, pattern: TilePattern, in context: ExecutionContext
  ) throws -> Operands {
    try gradients(
      outputGradient: outputGradient, query: query, key: key, value: value, rows: all, shape: shape,
      scale: scale, stages: .products, pattern: pattern, in: context
    ).operands
  }

  /// The same with other scores than products.
  /// - Returns: the gradients of q, k and v; of additive scores that of w, `[queryHeads, headDim]`; and the slopes that every row
  ///   has summed by bucket, `[batch, queryHeads, queryLength, buckets]`.
  static func gradients(
    outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, rows all: SoftmaxRows,
    shape: AttentionShape, scale: Double, stages: ScoreStages, pattern: TilePattern,
    in context: ExecutionContext
  ) throws -> (operands: Operands, energy: Tensor?, sums: Tensor?) {
    let (output, allLSE) = (all.output, all.lse)
    Operands(query: query, key: key, value: value).check(shape)
    precondition(
      outputGradient.shape == shape.outputShape, "gradient \(outputGradient.shape), not \(shape.outputShape)")
    precondition(output.shape == shape.outputShape, "output \(output.shape), not \(shape.outputShape)")
    precondition(allLSE.shape == shape.lseShape, "LSE \(allLSE.shape), not \(shape.lseShape)")
    precondition(
      [outputGradient, output, allLSE].allSatisfy { $0.precision == .float32 },
      "output, LSE or gradient not float32")
    let (lse, vastRows) = try BackwardPass.withoutVastRows(allLSE, shape, ledger: context.ledger)
    let plan = backwardPlan(of: pattern, for: shape, in: context)
    let queryWidth = shape.headDim + stages.sumCount(shape)
    var queryGradient = try Tensor(
      uninitialized: shape.queryShape.dropLast() + [queryWidth], ledger: context.ledger)
    var keyGradient = try Tensor(uninitialized: shape.keyShape, ledger: context.ledger)
    var valueGradient = try Tensor(uninitialized: shape.valueShape, ledger: context.ledger)
    let accumulators = try Region(
      [plan.accumulatorCount, BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)], in: context.ledger)
    let partials = try Region([plan.partials.count, Int(ATTN_LANES) * queryWidth], in: context.ledger)
    try PinnedStages.reading(stages) { stages throws in
      let pass = BackwardPass(
        plan: plan, stripes: rowStripes(of: pattern, plan, for: shape, in: context),
        pattern: pattern, shape: shape, scale: scale, stages: stages, context: context,
        query: InputRows(query), key: InputRows(key), value: InputRows(value),
        outputGradient: outputGradient.rows(), output: output.rows(), lse: lse.rows(),
        queryGradient: queryGradient.rowsForWriting(), keyGradient: keyGradient.rowsForWriting(),
        valueGradient: valueGradient.rowsForWriting(), accumulators: accumulators, partials: partials)
      try pass.run()
      pass.addVastRows(vastRows, of: all)
    }
    if shape.keyLength == 1, !all.hasOtherKeys {
      // One key has weight 1 whatever its score, so the score's gradient is 0, not the rounding error of dP − D.
      queryGradient = try Tensor(
        zeros: shape.queryShape.dropLast() + [queryWidth], ledger: context.ledger)
      keyGradient = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
    }
    guard queryWidth > shape.headDim else {
      return (Operands(query: queryGradient, key: keyGradient, value: valueGradient), nil, nil)
    }
    let dim = shape.headDim
    let dWeights = try stages.energy.map { _ in
      try queryGradient.narrowed(axis: 3, to: dim..<2 * dim).summedByHead(in: context)
    }
    let sums = stages.bias.map {
      queryGradient.narrowed(axis: 3, to: queryWidth - $0.bucketCount..<queryWidth)
    }
    let dQuery = try queryGradient.narrowed(axis: 3, to: 0..<dim).copied(ledger: context.ledger)
    return (Operands(query: dQuery, key: keyGradient, value: valueGradient), dWeights, sums)
  }
}
