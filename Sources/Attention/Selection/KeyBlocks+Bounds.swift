import AttentionCore
import Basics
import Tensors

extension KeyBlocks {
  /// The largest and the smallest element of every block's keys, `[batch, keyHeads, blocks, 2·headDim]`: all largest, then all smallest; 0
  /// of a block without valid keys.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(keys · headDim).
  func bounds(_ key: Tensor, in context: ExecutionContext) throws -> Tensor {
    let heads = key.shape[1], dim = key.shape[3]
    var result = try context.zeros([shape.batch, heads, count, 2 * dim])
    let (source, target) = (key.rows(), result.rowsForWriting())
    try Parallel.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
      try context.checkCancellation()
      let (batch, head) = (index / heads, index % heads), valid = shape.validKeys(batch: batch)
      for block in 0..<count(valid: valid) {
        let keys = keys(block, valid: valid), bound = target.row(batch, head, block)
        for half in 0..<2 {
          (bound + half * dim).update(from: source.row(batch, head, keys.lowerBound), count: dim)
        }
        for key in keys.dropFirst() {
          let row = source.row(batch, head, key)
          for t in 0..<dim {
            bound[t] = max(bound[t], row[t])
            bound[dim + t] = min(bound[dim + t], row[t])
          }
        }
      }
    }
    return result
  }

  /// `[max(±q, 0), min(±q, 0)]`, `[batch, heads, n, 2·d]`: the product with a block's bounds is `Σ_t max(q_t·min_t, q_t·max_t)`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func signedHalves(_ query: Tensor, sign: Float, in context: ExecutionContext) throws -> Tensor {
    let dim = query.shape[3]
    var result = try context.empty([query.shape[0], query.shape[1], query.shape[2], 2 * dim])
    let (source, target) = (query.rows(), result.rowsForWriting())
    try shape.forEachRowBlock(in: context) { batch, head, rows, _ in
      for row in rows {
        let (q, halves) = (source.row(batch, head, row), target.row(batch, head, row))
        for t in 0..<dim {
          let element = sign * q[t]
          halves[t] = max(element, 0)
          halves[dim + t] = min(element, 0)
        }
      }
    }
    return result
  }

  /// The bound of the products of a query, in halves, and some keys.
  static func bound(
    _ halves: UnsafePointer<Float>, _ keys: Rows, _ batch: Int, _ keyHead: Int, _ range: Range<Int>, dim: Int
  ) -> Float {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * dim) { room in
      let (largest, smallest) = (room.baseAddress, room.baseAddress.map { $0 + dim })
      guard let largest, let smallest else { return 0 }
      largest.initialize(from: keys.row(batch, keyHead, range.lowerBound), count: dim)
      smallest.initialize(from: keys.row(batch, keyHead, range.lowerBound), count: dim)
      for key in range.dropFirst() {
        let row = keys.row(batch, keyHead, key)
        for t in 0..<dim {
          largest[t] = max(largest[t], row[t])
          smallest[t] = min(smallest[t], row[t])
        }
      }
      var sum: Float = 0
      for t in 0..<dim { sum += halves[t] * largest[t] + halves[dim + t] * smallest[t] }
      return sum
    }
  }
}
