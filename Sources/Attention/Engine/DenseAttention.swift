import AttentionCore
import CKernels
import Tensors

/// Attention that stores its n×n matrices: products, softmax and their gradients over row blocks.
///
/// `S = scale·Q·Kᵀ`, `W = softmax(S)`, `O = W·V`; backward `dW = dO·Vᵀ`, `dS = W∘(dW − rowsum(W∘dW))`, `dQ = scale·dS·K`,
/// `dK = scale·dSᵀ·Q`, `dV = Wᵀ·dO`. A block of 64 rows is the unit of work, and every sum has a fixed order, so the bits
/// do not depend on the number of threads.
/// - Complexity: O(n²·d) time whatever the mask, O(n²) memory.
struct DenseAttention: Sendable {
  let shape: AttentionShape
  let context: ExecutionContext

  private static let block = 64
  private var isa: Int32 { context.instructionSet.code }
  private var scale: Float { Float(shape.effectiveScale) }

  /// `[batch, queryHeads, queryLength, keyLength]`: what makes the memory grow with n².
  var matrixShape: [Int] { [shape.batch, shape.queryHeads, shape.queryLength, shape.keyLength] }

  /// The number of keys that a row sees: a prefix, whether for causality or for padding.
  private func visibleKeys(_ batch: Int, _ row: Int) -> Int {
    let valid = shape.validKeys(batch: batch)
    return shape.isCausal ? max(0, min(valid, row + shape.queryOffset + 1)) : valid
  }

  /// Computes output and LSE; returns them with the weights.
  func forward(_ inputs: QKV) throws -> (output: Tensor, lse: Tensor, weights: Tensor) {
    inputs.check(shape)
    var scores = try Tensor(uninitialized: matrixShape, ledger: context.ledger)
    var weights = try Tensor(uninitialized: matrixShape, ledger: context.ledger)
    var output = try Tensor(uninitialized: shape.outputShape, ledger: context.ledger)
    var lse = try Tensor(uninitialized: shape.lseShape, ledger: context.ledger)
    let (query, key, value) = (inputs.query, inputs.key, inputs.value)
    try scores.withRows { scores throws in
      try weights.withRows { weights throws in
        try output.withRows { output throws in
          try lse.withRows { lse throws in
            try query.withReadRows { query throws in
              try key.withReadRows { key throws in
                try value.withReadRows { value throws in
                  try forEachBlock(of: shape.queryLength) { batch, head, rows in
                    forward(batch, head, rows, query, key, value, scores, weights, output, lse)
                  }
                }
              }
            }
          }
        }
      }
    }
    return (output, lse, weights)
  }

  private func forward(
    _ batch: Int, _ head: Int, _ rows: Range<Int>, _ query: Rows, _ key: Rows, _ value: Rows, _ scores: Rows,
    _ weights: Rows, _ output: Rows, _ lse: Rows
  ) {
    let first = rows.lowerBound
    let keyHead = shape.keyHead(of: head)
    let scoreRows = scores.head(batch, head) + first * scores.rowStride
    let weightRows = weights.head(batch, head) + first * weights.rowStride
    attn_dense_product(
      isa, scoreRows, Int64(scores.rowStride), query.head(batch, head) + first * query.rowStride,
      Int64(query.rowStride), 1, key.head(batch, keyHead), 1, Int64(key.rowStride), Int32(rows.count),
      Int32(shape.keyLength), Int32(shape.headDim), scale, 0)
    for (position, row) in rows.enumerated() {
      lse.head(batch, head)[row * lse.rowStride] = attn_dense_softmax(
        isa, weightRows + position * weights.rowStride, scoreRows + position * scores.rowStride,
        Int32(visibleKeys(batch, row)), Int32(shape.keyLength))
    }
    attn_dense_product(
      isa, output.head(batch, head) + first * output.rowStride, Int64(output.rowStride), weightRows,
      Int64(weights.rowStride), 1, value.head(batch, keyHead), Int64(value.rowStride), 1, Int32(rows.count),
      Int32(shape.valueDim), Int32(shape.keyLength), 1, 0)
  }

  /// Computes the gradients from the stored weights.
  func backward(_ outputGradient: Tensor, _ inputs: QKV, weights: Tensor) throws -> QKVGradient {
    inputs.check(shape)
    var scoreGradient = try Tensor(uninitialized: matrixShape, ledger: context.ledger)
    var queryGradient = try Tensor(uninitialized: shape.queryShape, ledger: context.ledger)
    var keyGradient = try Tensor(uninitialized: shape.keyShape, ledger: context.ledger)
    var valueGradient = try Tensor(uninitialized: shape.valueShape, ledger: context.ledger)
    let (query, key, value) = (inputs.query, inputs.key, inputs.value)
    try scoreGradient.withRows { scores throws in
      try weights.withReadRows { weights throws in
        try outputGradient.withReadRows { output throws in
          try key.withReadRows { key throws in
            try value.withReadRows { value throws in
              try queryGradient.withRows { target throws in
                try forEachBlock(of: shape.queryLength) { batch, head, rows in
                  scoreGradients(batch, head, rows, key, value, output, weights, scores, target)
                }
              }
            }
          }
          try query.withReadRows { query throws in
            try keyGradient.withRows { keys throws in
              try valueGradient.withRows { values throws in
                try forEachKeyBlock { batch, keyHead, rows in
                  keyGradients(batch, keyHead, rows, query, output, weights, scores, keys, values)
                }
              }
            }
          }
        }
      }
    }
    if shape.keyLength == 1 {
      // One key has weight 1 whatever its score, so the score's gradient is 0, not the rounding error of dW − mean.
      queryGradient = try Tensor(zeros: shape.queryShape, ledger: context.ledger)
      keyGradient = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
    }
    return QKVGradient(query: queryGradient, key: keyGradient, value: valueGradient)
  }

  /// dS and dQ of a block of query rows.
  private func scoreGradients(
    _ batch: Int, _ head: Int, _ rows: Range<Int>, _ key: Rows, _ value: Rows, _ output: Rows,
    _ weights: Rows,
    _ scores: Rows, _ target: Rows
  ) {
    let first = rows.lowerBound
    let keyHead = shape.keyHead(of: head)
    let scoreRows = scores.head(batch, head) + first * scores.rowStride
    let weightRows = weights.head(batch, head) + first * weights.rowStride
    attn_dense_product(
      isa, scoreRows, Int64(scores.rowStride), output.head(batch, head) + first * output.rowStride,
      Int64(output.rowStride), 1, value.head(batch, keyHead), 1, Int64(value.rowStride), Int32(rows.count),
      Int32(shape.keyLength), Int32(shape.valueDim), 1, 0)
    for (position, row) in rows.enumerated() {
      attn_dense_softmax_gradient(
        isa, scoreRows + position * scores.rowStride, weightRows + position * weights.rowStride,
        Int32(visibleKeys(batch, row)), Int32(shape.keyLength))
    }
    attn_dense_product(
      isa, target.head(batch, head) + first * target.rowStride, Int64(target.rowStride), scoreRows,
      Int64(scores.rowStride), 1, key.head(batch, keyHead), Int64(key.rowStride), 1, Int32(rows.count),
      Int32(shape.headDim), Int32(shape.keyLength), scale, 0)
  }

  /// dK and dV of a block of key rows, summed over the query heads that share them.
  private func keyGradients(
    _ batch: Int, _ keyHead: Int, _ rows: Range<Int>, _ query: Rows, _ output: Rows, _ weights: Rows,
    _ scores: Rows, _ keys: Rows, _ values: Rows
  ) {
    let first = rows.lowerBound
    for member in 0..<shape.groupSize {
      let head = keyHead * shape.groupSize + member
      attn_dense_product(
        isa, keys.head(batch, keyHead) + first * keys.rowStride, Int64(keys.rowStride),
        scores.head(batch, head) + first, 1, Int64(scores.rowStride), query.head(batch, head),
        Int64(query.rowStride), 1, Int32(rows.count), Int32(shape.headDim), Int32(shape.queryLength), scale,
        member > 0 ? 1 : 0)
      attn_dense_product(
        isa, values.head(batch, keyHead) + first * values.rowStride, Int64(values.rowStride),
        weights.head(batch, head) + first, 1, Int64(weights.rowStride), output.head(batch, head),
        Int64(output.rowStride), 1, Int32(rows.count), Int32(shape.valueDim), Int32(shape.queryLength), 1,
        member > 0 ? 1 : 0)
    }
  }

  private func forEachBlock(of length: Int, _ body: @Sendable (Int, Int, Range<Int>) -> Void) throws {
    try forEachBlock(of: length, heads: shape.queryHeads, body)
  }

  private func forEachKeyBlock(_ body: @Sendable (Int, Int, Range<Int>) -> Void) throws {
    try forEachBlock(of: shape.keyLength, heads: shape.keyHeads, body)
  }

  private func forEachBlock(
    of length: Int, heads: Int, _ body: @Sendable (Int, Int, Range<Int>) -> Void
  ) throws {
    let blocks = (length + DenseAttention.block - 1) / DenseAttention.block
    try Parallel.forEach(count: shape.batch * heads * blocks, threads: context.threads) { index, _ in
      try context.checkCancellation()
      let first = index % blocks * DenseAttention.block
      body(index / blocks / heads, index / blocks % heads, first..<min(first + DenseAttention.block, length))
    }
  }
}
