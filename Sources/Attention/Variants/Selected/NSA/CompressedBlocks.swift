import AttentionCore
import Basics
import Tensors

/// Blocks of `length` neighbouring rows, one beginning every `stride` rows, each as one row: `x̃_c = Σ_p w_p ∘ x_{c·stride + p}`.
///
/// w is learned by every key head for each place in a block and each element; with w = 1/length it is the mean. There are as many blocks as
/// fit into the valid rows of a sequence, and a query sees those that end at its position or before.
/// - Complexity: O(n · length/stride · dim) a head.
struct CompressedBlocks: Sendable {
  let shape: AttentionShape
  let length: Int, stride: Int

  /// Whole blocks of so many rows.
  func count(valid: Int) -> Int { valid < length ? 0 : (valid - length) / stride + 1 }

  /// Blocks of the longest sequence.
  var count: Int { count(valid: shape.keyLength) }

  /// Blocks that a query sees: the first ones.
  func visible(batch: Int, row: Int) -> Int {
    count(valid: min(shape.validKeys(batch: batch), max(0, row + shape.queryOffset + 1)))
  }

  /// The sizes of the softmax over blocks; there is one at least.
  var attending: AttentionShape {
    var own = shape
    (own.isCausal, own.scale, own.keyLength) = (false, shape.effectiveScale, max(1, count))
    own.keyLengths = shape.validKeyCounts.map { count(valid: $0) }
    return own
  }

  /// The tiles of what queries see of sequences with so many valid rows.
  func tiles(valid: Int) -> TileList {
    var list = TileList()
    for rows in shape.rowTiles(of: 0..<shape.queryLength, cutAt: valid) {
      let seen = rows.map { count(valid: min(valid, max(0, $0 + shape.queryOffset + 1))) }
      let (low, high) = (seen[0], seen[seen.count - 1])
      guard high > 0 else { continue }
      var segments = [TileList.Segment(start: 0, count: low)]
      if high > low {
        let words = (low..<high).map { block in
          seen.enumerated().reduce(UInt64(0)) { $1.element > block ? $0 | 1 << UInt64($1.offset) : $0 }
        }
        segments.append(.init(start: low, count: high - low, mask: list.bitMask(words)))
      }
      list.addTile(start: rows.lowerBound, count: rows.count, segments: segments)
    }
    return list
  }

  /// Pairs of a query and a block, for one head and all sequences. - Complexity: O(rows).
  var pairs: Double {
    var sum = 0.0
    for batch in 0..<shape.batch {
      for row in 0..<shape.queryLength { sum += Double(visible(batch: batch, row: row)) }
    }
    return sum
  }

  /// The blocks of rows `[batch, keyHeads, keys, dim]` under weights `[keyHeads, length, dim]`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func make(_ rows: Tensor, _ weights: Tensor, in context: ExecutionContext) throws -> Tensor {
    let heads = shape.keyHeads, dim = rows.shape[3]
    var result = try context.zeros([shape.batch, heads, max(1, count), dim])
    let (source, target) = (rows.rows(), result.rowsForWriting())
    let factors = weights.contiguous(), w = factors.pinned()
    try Parallel.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
      try context.checkCancellation()
      let (batch, head) = (index / heads, index % heads)
      for block in 0..<count(valid: shape.validKeys(batch: batch)) {
        let sum = target.row(batch, head, block)
        for place in 0..<length {
          let x = source.row(batch, head, block * stride + place), own = w + (head * length + place) * dim
          for t in 0..<dim { sum[t] += own[t] * x[t] }
        }
      }
    }
    return result
  }

  /// The gradients of rows, added to those that they have already, and of weights.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func addGradient(
    _ gradient: Tensor, rows: Tensor, _ weights: Tensor, to rowGradient: inout Tensor,
    in context: ExecutionContext
  ) throws -> Tensor {
    let heads = shape.keyHeads, dim = rows.shape[3]
    var result = try context.zeros(weights.shape)
    let (source, target, d) = (rows.rows(), rowGradient.rowsForWriting(), gradient.rows())
    let factors = weights.contiguous(), w = factors.pinned(), dw = result.pinnedForWriting()
    try Parallel.forEach(count: heads, threads: context.threads) { head, _ in
      for batch in 0..<shape.batch {
        try context.checkCancellation()
        for block in 0..<count(valid: shape.validKeys(batch: batch)) {
          let own = d.row(batch, head, block)
          for place in 0..<length {
            let x = source.row(batch, head, block * stride + place)
            let dx = target.row(batch, head, block * stride + place)
            let (factor, sum) = (w + (head * length + place) * dim, dw + (head * length + place) * dim)
            for t in 0..<dim {
              dx[t] += factor[t] * own[t]
              sum[t] += x[t] * own[t]
            }
          }
        }
      }
    }
    return result
  }
}
