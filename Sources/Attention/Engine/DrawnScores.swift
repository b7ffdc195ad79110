import AttentionCore
import Basics
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the scores of rows that drew one key learn from the loss.
///
/// With p the softmax of a row, a its drawn key, `A = L − b` and H the entropy of p, the gradient of the scores is
///
///     ds_j = A (1[j = a] − p_j) + λ w p_j (log p_j + H)
///
/// whose first part has the mean ∂E[L]/∂s_j over the draws; the second is that of −λ w H. A block of rows at a time: no more scores
/// are held than those of a block for each thread.
/// - Complexity: O(n²·d) time; O(n·d) memory a thread.
struct DrawnScores: Sendable {
  let shape: AttentionShape
  let scale: Double
  let chosen: TopKeys
  /// Whether b is what was expected, or else 0.
  let isCentred: Bool
  /// λ.
  let entropy: Double

  /// The gradients of q and k; query heads that share a key head add to the same rows, so they follow each other.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func backward(
    _ inputs: Operands, knowing losses: LossSignal, in context: ExecutionContext
  ) throws -> (query: Tensor, key: Tensor) {
    var query = try context.zeros(shape.queryShape), key = try context.zeros(shape.keyShape)
    let (dQuery, dKey) = (query.rowsForWriting(), key.rowsForWriting())
    var alone = context
    alone.threads = 1
    let single = alone, groups = shape.batch * shape.keyHeads
    try Parallel.forEach(count: groups, threads: min(context.threads, groups)) { index, _ in
      let (batch, keyHead) = (index / shape.keyHeads, index % shape.keyHeads)
      let valid = shape.validKeys(batch: batch)
      guard valid > 0 else { return }
      let k = inputs.key.matrix(batch, keyHead).narrowed(axis: 0, to: 0..<valid)
      var dk = try single.zeros([valid, shape.headDim])
      let advantage = losses.advantage(of: batch, among: shape.batch, isCentred: isCentred)
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        for first in stride(from: 0, to: shape.queryLength, by: AttentionShape.rowBlock) {
          try context.checkCancellation()
          let own = first..<min(shape.queryLength, first + AttentionShape.rowBlock)
          let q = inputs.query.matrix(batch, head).narrowed(axis: 0, to: own)
          var slopes = try single.matmul(q, .plain, k, .transposed)
          let view = slopes.pinnedForWriting()
          for row in own {
            differentiate(
              view + (row - first) * valid, count: valid, batch, head, row, advantage: advantage,
              entropyWeight: entropy * losses.weight)
          }
          let dq = try single.matmul(slopes, .plain, k, .plain)
          copy(dq, to: dQuery, batch, head, from: first)
          try single.gemm(slopes, .transposed, q, .plain, into: &dk, accumulate: true)
        }
      }
      copy(dk, to: dKey, batch, keyHead, from: 0)
    }
    return (query, key)
  }

  /// Turns the products of a row into the gradients of products.
  private func differentiate(
    _ scores: UnsafeMutablePointer<Float>, count: Int, _ batch: Int, _ head: Int, _ row: Int,
    advantage: Double, entropyWeight: Double
  ) {
    let visible = shape.visibleKeys(batch: batch, row: row)
    let largest = (0..<visible).reduce(-Double.infinity) { max($0, scale * Double(scores[$1])) }
    // What padding drew is nobody's loss; a row of a score that single precision does not hold has no softmax.
    guard let taken = chosen.keys(batch, head, row).first, largest.isFinite,
      !shape.isPaddedQuery(batch: batch, query: row),
      (0..<visible).allSatisfy({ scores[$0].isFinite })
    else {
      for key in 0..<count { scores[key] = 0 }
      return
    }
    var total = 0.0, weighted = 0.0
    for key in 0..<visible {
      let gap = scale * Double(scores[key]) - largest, weight = exp(gap)
      total += weight
      weighted += weight * gap
    }
    let logTotal = log(total), rowEntropy = logTotal - weighted / total
    for key in 0..<visible {
      let logWeight = scale * Double(scores[key]) - largest - logTotal, weight = exp(logWeight)
      let score = advantage * ((key == Int(taken) ? 1 : 0) - weight)
      scores[key] = Float(scale * (score + entropyWeight * weight * (logWeight + rowEntropy)))
    }
    for key in visible..<count { scores[key] = 0 }
  }

  private func copy(_ matrix: Tensor, to rows: Rows, _ batch: Int, _ head: Int, from first: Int) {
    let source = matrix.pinned(), dim = shape.headDim
    for row in 0..<matrix.shape[0] {
      let target = rows.row(batch, head, first + row)
      for t in 0..<dim { target[t] = source[row * dim + t] }
    }
  }
}
