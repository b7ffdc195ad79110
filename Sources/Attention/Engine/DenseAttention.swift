import AttentionCore
import Basics
import CKernels
import Tensors

/// Attention that stores its n×n matrices: products, softmax and their gradients over row blocks.
///
/// `S = scale·Q·Kᵀ`, `W = softmax(S)`, `O = W·V`; backward `dW = dO·Vᵀ`, `dS = W∘(dW − rowsum(W∘dW))`, `dQ = scale·dS·K`,
/// `dK = scale·dSᵀ·Q`, `dV = Wᵀ·dO`. The products are those of the linear layers: the right side is packed once a head, a
/// block of rows (at most 96) is the unit of work, and every sum has a fixed order, so the bits do not depend on the
/// number of threads. A row whose sums in single precision are no numbers is computed again in Double: what the scale makes
/// small need not be held before it.
/// - Complexity: O(n²·d) time whatever the mask, O(n²) memory.
struct DenseAttention: Sendable {
  let shape: AttentionShape
  let context: ExecutionContext

  private var isa: Int32 { context.instructionSet.code }
  private var scale: Float { Float(shape.effectiveScale) }

  /// `[batch, queryHeads, queryLength, keyLength]`: what makes the memory grow with n².
  var matrixShape: [Int] { [shape.batch, shape.queryHeads, shape.queryLength, shape.keyLength] }

  /// The scores of a row one by one in Double, where their sums in single precision were no numbers: a sum may pass what
  /// single precision holds and come back.
  private func scores(
    _ query: UnsafePointer<Float>, _ keys: Rows, _ batch: Int, _ keyHead: Int, count: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    for key in 0..<count {
      let row = keys.row(batch, keyHead, key)
      let sum = (0..<shape.headDim).reduce(0.0) { $0 + Double(query[$1]) * Double(row[$1]) }
      let score = Double(scale) * sum
      target[key] = score.magnitude < ScoreOverflow.limit ? Float(score) : .nan
    }
  }

  /// What the way back keeps.
  struct Kept: Sendable {
    /// `softmax(S)`.
    let weights: Tensor
    /// S before the soft cap, whose derivative is made of it; `nil` without one.
    let scores: Tensor?
    /// Over the keys of the pass.
    let lse: Tensor
  }

  /// Computes output and LSE; returns them with what the way back keeps.
  func forward(_ inputs: Operands) throws -> (output: Tensor, lse: Tensor, kept: Kept) {
    inputs.check(shape)
    var scores = try Tensor(uninitialized: matrixShape, ledger: context.ledger)
    var weights = try Tensor(uninitialized: matrixShape, ledger: context.ledger)
    var output = try Tensor(uninitialized: shape.outputShape, ledger: context.ledger)
    var lse = try Tensor(uninitialized: shape.lseShape, ledger: context.ledger)
    try forward(
      inputs.query.rows(), inputs.key.rows(), inputs.value.rows(), scores.rowsForWriting(),
      weights.rowsForWriting(), output.rowsForWriting(), lse.rowsForWriting())
    return (
      output, lse, Kept(weights: weights, scores: shape.softcap == nil ? nil : scores, lse: lse)
    )
  }

  private func forward(
    _ query: Rows, _ key: Rows, _ value: Rows, _ scores: Rows, _ weights: Rows, _ output: Rows, _ lse: Rows
  ) throws {
    let scorePlan = plan(rows: shape.queryLength, columns: shape.keyLength, depth: shape.headDim)
    let outputPlan = plan(rows: shape.queryLength, columns: shape.valueDim, depth: shape.keyLength)
    try withPacked(
      (key, scorePlan, .transposed), (value, outputPlan, .plain), heads: shape.keyHeads,
      blocksOf: shape.queryHeads
    ) { batch, head, block, keys, values, scratch in
      let keyHead = shape.keyHead(of: head)
      let scoreRows = scores.head(batch, head), weightRows = weights.head(batch, head)
      GemmJob(
        scorePlan, a: query.head(batch, head), strides: (query.rowStride, 1), c: scoreRows, scale: scale
      ).run(block, packedB: keys.head(batch, keyHead), scratch: scratch)
      for row in rows(of: block, scorePlan) {
        let count = shape.visibleKeys(batch: batch, row: row), raw = scoreRows + row * scores.rowStride
        let own = weightRows + row * weights.rowStride
        func softmax() -> Float {
          let isCapped = cap(raw, into: own)
          return attn_dense_softmax(isa, own, isCapped ? own : raw, Int32(count), Int32(shape.keyLength))
        }
        var sum = softmax()
        if !(sum < .infinity) {
          self.scores(query.row(batch, head, row), key, batch, keyHead, count: count, into: raw)
          sum = softmax()
        }
        lse.head(batch, head)[row * lse.rowStride] = sum
      }
      GemmJob(outputPlan, a: weightRows, strides: (weights.rowStride, 1), c: output.head(batch, head))
        .run(block, packedB: values.head(batch, keyHead), scratch: scratch)
    }
  }

  /// Writes `c·tanh(s/c)` of a row of scores; false where there is no soft cap.
  private func cap(_ row: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>) -> Bool {
    guard let softcap = shape.softcap else { return false }
    attn_cap(isa, row, target, Int64(shape.keyLength), Float(1 / softcap), Float(softcap))
    return true
  }

  /// Multiplies a row of gradients by the soft cap's derivative, `1 − tanh²(s/c)`, from scores before the cap.
  private func uncap(_ row: UnsafeMutablePointer<Float>, scores: UnsafePointer<Float>, visible: Int) {
    guard let softcap = shape.softcap else { return }
    attn_uncap(isa, scores, row, Int64(visible), Float(1 / softcap))
  }

  /// Computes the gradients from what was kept.
  /// - Parameter rows: output and LSE over all keys of the rows.
  func backward(
    _ outputGradient: Tensor, _ inputs: Operands, _ kept: Kept, rows: SoftmaxRows
  ) throws -> Operands {
    inputs.check(shape)
    let share = try DenseShare(outputGradient, lse: kept.lse, rows: rows, ledger: context.ledger)
    let outputGradient = share?.outputGradient ?? outputGradient
    var scoreGradient = try Tensor(uninitialized: matrixShape, ledger: context.ledger)
    var queryGradient = try Tensor(uninitialized: shape.queryShape, ledger: context.ledger)
    var keyGradient = try Tensor(uninitialized: shape.keyShape, ledger: context.ledger)
    var valueGradient = try Tensor(uninitialized: shape.valueShape, ledger: context.ledger)
    let (scores, weights, output) = (
      scoreGradient.rowsForWriting(), kept.weights.rows(), outputGradient.rows()
    )
    try scoreGradients(
      inputs.key.rows(), inputs.value.rows(), output, weights, scores, queryGradient.rowsForWriting(), share,
      kept: kept.scores?.rows())
    try keyGradients(
      inputs.query.rows(), output, weights, scores, keyGradient.rowsForWriting(),
      valueGradient.rowsForWriting())
    if shape.keyLength == 1, share == nil {
      // One key has weight 1 whatever its score, so the score's gradient is 0, not the rounding error of dW − mean.
      queryGradient = try Tensor(zeros: shape.queryShape, ledger: context.ledger)
      keyGradient = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
    }
    return Operands(query: queryGradient, key: keyGradient, value: valueGradient)
  }

  /// dS and dQ by blocks of query rows.
  private func scoreGradients(
    _ key: Rows, _ value: Rows, _ output: Rows, _ weights: Rows, _ scores: Rows, _ target: Rows,
    _ share: DenseShare?, kept: Rows?
  ) throws {
    let scorePlan = plan(rows: shape.queryLength, columns: shape.keyLength, depth: shape.valueDim)
    let queryPlan = plan(rows: shape.queryLength, columns: shape.headDim, depth: shape.keyLength)
    try withPacked(
      (value, scorePlan, .transposed), (key, queryPlan, .plain), heads: shape.keyHeads,
      blocksOf: shape.queryHeads
    ) { batch, head, block, values, keys, scratch in
      let keyHead = shape.keyHead(of: head)
      let scoreRows = scores.head(batch, head), weightRows = weights.head(batch, head)
      GemmJob(scorePlan, a: output.head(batch, head), strides: (output.rowStride, 1), c: scoreRows)
        .run(block, packedB: values.head(batch, keyHead), scratch: scratch)
      for row in rows(of: block, scorePlan) {
        let gradient = scoreRows + row * scores.rowStride, own = weightRows + row * weights.rowStride
        let visible = shape.visibleKeys(batch: batch, row: row)
        if let share {
          share.gradient(gradient, own, batch, head, row, visible: visible, of: shape.keyLength)
        } else {
          attn_dense_softmax_gradient(isa, gradient, own, Int32(visible), Int32(shape.keyLength))
        }
        if let kept { uncap(gradient, scores: kept.row(batch, head, row), visible: visible) }
      }
      GemmJob(
        queryPlan, a: scoreRows, strides: (scores.rowStride, 1), c: target.head(batch, head), scale: scale
      ).run(block, packedB: keys.head(batch, keyHead), scratch: scratch)
    }
  }

  /// dK and dV by blocks of key rows, summed over the query heads that share them.
  private func keyGradients(
    _ query: Rows, _ output: Rows, _ weights: Rows, _ scores: Rows, _ keys: Rows, _ values: Rows
  ) throws {
    let keyPlan = plan(rows: shape.keyLength, columns: shape.headDim, depth: shape.queryLength)
    let valuePlan = plan(rows: shape.keyLength, columns: shape.valueDim, depth: shape.queryLength)
    try withPacked(
      (query, keyPlan, .plain), (output, valuePlan, .plain), heads: shape.queryHeads, blocksOf: shape.keyHeads
    ) { batch, keyHead, block, queries, outputs, scratch in
      for member in 0..<shape.groupSize {
        let head = keyHead * shape.groupSize + member
        GemmJob(
          keyPlan, a: scores.head(batch, head), strides: (1, scores.rowStride), c: keys.head(batch, keyHead),
          scale: scale, accumulates: member > 0
        ).run(block, packedB: queries.head(batch, head), scratch: scratch)
        GemmJob(
          valuePlan, a: weights.head(batch, head), strides: (1, weights.rowStride),
          c: values.head(batch, keyHead), accumulates: member > 0
        ).run(block, packedB: outputs.head(batch, head), scratch: scratch)
      }
    }
  }

  private func plan(rows: Int, columns: Int, depth: Int) -> GemmPlan {
    GemmPlan(m: rows, n: columns, k: depth, isa: isa, workers: 1, choices: context.choices)
  }

  private func rows(of block: Int, _ plan: GemmPlan) -> Range<Int> {
    block * plan.blockRows..<min(plan.m, (block + 1) * plan.blockRows)
  }

  private typealias Factor = (rows: Rows, plan: GemmPlan, side: ExecutionContext.Orientation)

  /// Packs the right sides of two products for every head, then runs a body for every block of rows of `blockHeads`
  /// heads, with a scratch of the worker's own.
  private func withPacked(
    _ first: Factor, _ second: Factor, heads: Int, blocksOf blockHeads: Int,
    _ body: @Sendable (Int, Int, Int, Rows, Rows, UnsafeMutablePointer<Float>) -> Void
  ) throws {
    let headCount = shape.batch * heads, scratchCount = max(first.plan.scratchCount, second.plan.scratchCount)
    let firstCount = headCount * first.plan.packedCount, secondCount = headCount * second.plan.packedCount
    let count = firstCount + secondCount + context.threads * scratchCount
    var workspace = try Tensor(uninitialized: [count], ledger: context.ledger)
    let space = workspace.pinnedForWriting()
    func place(_ offset: Int, _ plan: GemmPlan) -> Rows {
      Rows(space.advanced(by: offset), strides: [heads * plan.packedCount, plan.packedCount, 1])
    }
    let firstPacked = place(0, first.plan), secondPacked = place(firstCount, second.plan)
    for (factor, target) in [(first, firstPacked), (second, secondPacked)] {
      let (rows, plan) = (factor.rows, factor.plan)
      let strides = factor.side == .transposed ? (rows.rowStride, 1) : (1, rows.rowStride)
      Parallel.forEach(count: headCount * plan.packJobs, threads: context.threads) { index, _ in
        let (batch, head) = (index / plan.packJobs / heads, index / plan.packJobs % heads)
        plan.pack(
          index % plan.packJobs, from: rows.head(batch, head), strides: strides, to: target.head(batch, head))
      }
    }
    let blocks = first.plan.rowBlocks, scratch = space.advanced(by: firstCount + secondCount)
    try Parallel.forEach(count: shape.batch * blockHeads * blocks, threads: context.threads) {
      index, worker in
      try context.checkCancellation()
      body(
        index / blocks / blockHeads, index / blocks % blockHeads, index % blocks, firstPacked, secondPacked,
        scratch.pointer + worker * scratchCount)
    }
  }
}
