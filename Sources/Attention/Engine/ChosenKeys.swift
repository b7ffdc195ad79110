import AttentionCore
import Basics
import Tensors

/// The softmax of every row over keys of its own choice, row by row: rows share no tile.
///
/// Going back, `dv += p dO`, `ds = p (dO·v − Σ p dO·v)`.
/// - Complexity: O(n·k·(headDim + valueDim)) time, O(k) memory a thread.
struct ChosenKeys: Sendable {
  let shape: AttentionShape
  let scale: Double
  let chosen: TopKeys

  /// Where the inputs of a pass lie.
  private struct Inputs: Sendable {
    let query: Rows, key: Rows, value: Rows

    init(_ inputs: Operands) {
      (query, key, value) = (inputs.query.rows(), inputs.key.rows(), inputs.value.rows())
    }
  }

  /// The weights of a row's keys; returns the log-sum-exp: NaN where a score is none that single precision holds.
  private func softmax(
    _ batch: Int, _ head: Int, _ row: Int, _ inputs: Inputs, into weights: UnsafeMutablePointer<Float>
  ) -> Float {
    let keys = chosen.keys(batch, head, row), q = inputs.query.row(batch, head, row)
    return RowSoftmax.weights(count: keys.count, into: weights) { place in
      let k = inputs.key.row(batch, shape.keyHead(of: head), Int(keys[place]))
      return RowSoftmax.score(q, k, shape.headDim, scale: scale)
    }
  }

  /// Output and LSE over the chosen keys.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(_ operands: Operands, in context: ExecutionContext) throws -> (output: Tensor, lse: Tensor) {
    let inputs = Inputs(operands)
    var output = try context.zeros(shape.outputShape), lse = try context.empty(shape.lseShape)
    var room = try context.empty([context.threads * chosen.count])
    let (target, logSums) = (output.rowsForWriting(), lse.rowsForWriting()), view = room.pinnedForWriting()
    try shape.forEachRowBlock(in: context) { batch, head, rows, worker in
      let weights = view + worker * chosen.count
      for row in rows {
        let sum = softmax(batch, head, row, inputs, into: weights)
        logSums.head(batch, head)[row * logSums.rowStride] = sum
        guard sum.isFinite else { continue }
        let own = target.row(batch, head, row)
        for (place, key) in chosen.keys(batch, head, row).enumerated() {
          let v = inputs.value.row(batch, shape.keyHead(of: head), Int(key))
          for t in 0..<shape.valueDim { own[t] += weights[place] * v[t] }
        }
      }
    }
    return (output, lse)
  }

  /// Statistics of the softmax over the chosen keys.
  /// - Throws: `CancellationRequested`.
  func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics {
    let score = PairScore.products(scale, dim: shape.headDim)
    return try RowwiseStatistics(shape: shape, score: score).rows(of: inputs, in: context) {
      for key in chosen.keys($0, $1, $2) { $3(Int(key)) }
    }
  }

  /// The gradients of q, k and v; of v alone where scores are not asked for.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func backward(
    _ outputGradient: Tensor, _ operands: Operands, ofScores: Bool = true, in context: ExecutionContext
  ) throws -> Operands {
    let inputs = Inputs(operands), dO = outputGradient.rows()
    var query = try context.zeros(shape.queryShape), key = try context.zeros(shape.keyShape)
    var value = try context.zeros(shape.valueShape)
    let (dQuery, dKey, dValue) = (query.rowsForWriting(), key.rowsForWriting(), value.rowsForWriting())
    // Query heads that share a key head add to the same rows: one after the other.
    let groups = shape.batch * shape.keyHeads, workers = min(context.threads, groups)
    var room = try context.empty([workers * 2 * chosen.count])
    let view = room.pinnedForWriting()
    try Parallel.forEach(count: groups, threads: workers) { index, worker in
      let (batch, keyHead) = (index / shape.keyHeads, index % shape.keyHeads)
      let weights = view + worker * 2 * chosen.count, products = weights + chosen.count
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        try context.checkCancellation()
        for row in 0..<shape.queryLength {
          guard softmax(batch, head, row, inputs, into: weights).isFinite else { continue }
          let keys = chosen.keys(batch, head, row), own = dO.row(batch, head, row)
          var mean: Float = 0
          for (place, key) in keys.enumerated() {
            let dv = dValue.row(batch, keyHead, Int(key))
            for t in 0..<shape.valueDim { dv[t] += weights[place] * own[t] }
            products[place] = NormalizedRows.dot(
              own, inputs.value.row(batch, keyHead, Int(key)), shape.valueDim)
            mean += weights[place] * products[place]
          }
          // One key has weight 1 whatever its score.
          guard ofScores, keys.count > 1 else { continue }
          let q = inputs.query.row(batch, head, row), dq = dQuery.row(batch, head, row)
          for (place, key) in keys.enumerated() {
            let slope = weights[place] * (products[place] - mean)
            guard slope != 0 else { continue }
            RowSoftmax.addGradient(
              slope, q, inputs.key.row(batch, keyHead, Int(key)), shape.headDim, scale: scale, to: dq,
              dKey.row(batch, keyHead, Int(key)))
          }
        }
      }
    }
    return Operands(query: query, key: key, value: value)
  }
}
