import AttentionCore
import Basics
import CKernels
import Tensors

/// The softmax of every row over keys of its own choice, row by row: rows share no tile. A row is a node, its keys are the sources of its
/// edges, and the kernels of edges compute it.
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

  /// What a thread holds of a row going back: weights and slopes of its keys, and a row that is not wanted.
  static func scratchBytes(_ count: Int, _ shape: AttentionShape) -> Double {
    4 * Double(2 * count + shape.headDim)
  }

  /// One head, as the kernels take it.
  private func edges(_ inputs: Inputs, _ batch: Int, _ head: Int) -> attn_edges {
    let keyHead = shape.keyHead(of: head)
    return attn_edges(
      kind: Int32(ATTN_EDGE_DOT), head_dim: Int32(shape.headDim), value_dim: Int32(shape.valueDim),
      scale: Float(scale), slope: 0, query: inputs.query.head(batch, head),
      key: inputs.key.head(batch, keyHead), value: inputs.value.head(batch, keyHead),
      query_stride: Int64(inputs.query.rowStride), key_stride: Int64(inputs.key.rowStride),
      value_stride: Int64(inputs.value.rowStride), vector: nil, source_vector: nil, source_score: nil,
      target_score: nil)
  }

  /// Output and LSE over the chosen keys.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(_ operands: Operands, in context: ExecutionContext) throws -> (output: Tensor, lse: Tensor) {
    let inputs = Inputs(operands), isa = context.instructionSet.code
    var output = try context.zeros(shape.outputShape), lse = try context.empty(shape.lseShape)
    var room = try context.empty([context.threads * chosen.count])
    let (target, logSums) = (output.rowsForWriting(), lse.rowsForWriting()), view = room.pinnedForWriting()
    try shape.forEachRowBlock(in: context) { batch, head, rows, worker in
      let weights = view + worker * chosen.count
      var edges = self.edges(inputs, batch, head)
      for row in rows {
        let keys = chosen.keys(batch, head, row), own = target.row(batch, head, row)
        let sum = attn_edges_forward(isa, &edges, Int64(row), keys.at(0), Int32(keys.count), weights, own)
        logSums.head(batch, head)[row * logSums.rowStride] =
          sum.isNaN ? vast(batch, head, row, inputs, into: weights, output: own) : sum
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
    let inputs = Inputs(operands), dO = outputGradient.rows(), isa = context.instructionSet.code
    var query = try context.zeros(shape.queryShape), key = try context.zeros(shape.keyShape)
    var value = try context.zeros(shape.valueShape)
    let (dQuery, dKey, dValue) = (query.rowsForWriting(), key.rowsForWriting(), value.rowsForWriting())
    // Query heads that share a key head add to the same rows: one after the other.
    let groups = shape.batch * shape.keyHeads, workers = min(context.threads, groups)
    let width = 2 * chosen.count + shape.headDim
    var room = try context.empty([workers * width])
    let view = room.pinnedForWriting()
    try Parallel.forEach(count: groups, threads: workers) { index, worker in
      let (batch, keyHead) = (index / shape.keyHeads, index % shape.keyHeads)
      let weights = view + worker * width, slopes = weights + chosen.count
      let (dk, dv) = (dKey.head(batch, keyHead), dValue.head(batch, keyHead))
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        var edges = self.edges(inputs, batch, head)
        for row in 0..<shape.queryLength {
          if row.isMultiple(of: AttentionShape.rowBlock) { try context.checkCancellation() }
          let keys = chosen.keys(batch, head, row), own = dO.row(batch, head, row)
          let dq = ofScores ? dQuery.row(batch, head, row) : slopes + chosen.count
          let sum = attn_edges_target(
            isa, &edges, Int64(row), keys.at(0), Int32(keys.count), own, weights, slopes, dq, nil)
          if sum.isNaN {
            vastGradient(
              batch, head, row, inputs, own, weights, slopes, ofScores ? (dQuery, dKey) : nil, dValue)
          } else {
            attn_edges_scatter(
              isa, &edges, Int64(row), keys.at(0), Int32(keys.count), weights, ofScores ? slopes : nil, own,
              dk, Int64(dKey.rowStride), dv, Int64(dValue.rowStride))
          }
        }
      }
    }
    return Operands(query: query, key: key, value: value)
  }
}

/// Rows of which some score passes what single precision holds: it may come back, or be scaled down.
extension ChosenKeys {
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

  private func vast(
    _ batch: Int, _ head: Int, _ row: Int, _ inputs: Inputs, into weights: UnsafeMutablePointer<Float>,
    output: UnsafeMutablePointer<Float>
  ) -> Float {
    let sum = softmax(batch, head, row, inputs, into: weights)
    guard sum.isFinite else { return sum }
    for (place, key) in chosen.keys(batch, head, row).enumerated() {
      let v = inputs.value.row(batch, shape.keyHead(of: head), Int(key))
      for t in 0..<shape.valueDim { output[t] += weights[place] * v[t] }
    }
    return sum
  }

  private func vastGradient(
    _ batch: Int, _ head: Int, _ row: Int, _ inputs: Inputs, _ own: UnsafePointer<Float>,
    _ weights: UnsafeMutablePointer<Float>, _ products: UnsafeMutablePointer<Float>,
    _ scores: (query: Rows, key: Rows)?, _ dValue: Rows
  ) {
    guard softmax(batch, head, row, inputs, into: weights).isFinite else { return }
    let keys = chosen.keys(batch, head, row), keyHead = shape.keyHead(of: head)
    var mean: Float = 0
    for (place, key) in keys.enumerated() {
      let dv = dValue.row(batch, keyHead, Int(key))
      for t in 0..<shape.valueDim { dv[t] += weights[place] * own[t] }
      products[place] = NormalizedRows.dot(own, inputs.value.row(batch, keyHead, Int(key)), shape.valueDim)
      mean += weights[place] * products[place]
    }
    // One key has weight 1 whatever its score.
    guard let scores, keys.count > 1 else { return }
    let q = inputs.query.row(batch, head, row), dq = scores.query.row(batch, head, row)
    for (place, key) in keys.enumerated() {
      let slope = weights[place] * (products[place] - mean)
      guard slope != 0 else { continue }
      RowSoftmax.addGradient(
        slope, q, inputs.key.row(batch, keyHead, Int(key)), shape.headDim, scale: scale, to: dq,
        scores.key.row(batch, keyHead, Int(key)))
    }
  }
}
