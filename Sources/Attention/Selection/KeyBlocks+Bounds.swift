import AttentionCore
import Basics
import CKernels
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
        var bounds = GrowingBounds(at: target.row(batch, head, block), dim: dim)
        bounds.take(keys(block, valid: valid), of: source, batch, head)
      }
    }
    return result
  }
}

/// The largest and the smallest element of keys, as of one page, of which each row sees some more than the one before.
struct GrowingBounds {
  private let largest: UnsafeMutablePointer<Float>, smallest: UnsafeMutablePointer<Float>
  private let dim: Int
  /// The keys that are bounded.
  private var keys = 0..<0

  /// Bounds of no key, as long as `body` runs.
  static func with(dim: Int, _ body: (inout GrowingBounds) -> Void) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * dim) { room in
      guard let start = room.baseAddress else { return }
      room.initialize(repeating: 0)
      var bounds = GrowingBounds(at: start, dim: dim)
      body(&bounds)
    }
  }

  /// Bounds of no key, in room for all largest elements and then all smallest.
  init(at room: UnsafeMutablePointer<Float>, dim: Int) {
    (largest, smallest, self.dim) = (room, room + dim, dim)
  }

  /// Bounds these keys: what is new of them where they begin as the last ones did, else all.
  /// - Precondition: there is one.
  mutating func take(_ range: Range<Int>, of rows: Rows, _ batch: Int, _ keyHead: Int) {
    if range.lowerBound != keys.lowerBound || range.upperBound < keys.upperBound || keys.isEmpty {
      let first = rows.row(batch, keyHead, range.lowerBound)
      largest.update(from: first, count: dim)
      smallest.update(from: first, count: dim)
      keys = range.lowerBound..<range.lowerBound + 1
    }
    for key in keys.upperBound..<range.upperBound {
      let row = rows.row(batch, keyHead, key)
      for t in 0..<dim {
        largest[t] = max(largest[t], row[t])
        smallest[t] = min(smallest[t], row[t])
      }
    }
    keys = range
  }

  /// The bound of the products with a query, in halves.
  func product(_ halves: UnsafePointer<Float>, _ isa: Int32) -> Float {
    var sum: Float = 0
    // All smallest elements stand behind all largest ones.
    attn_scan_dots(isa, halves, 2 * dim, largest, 2 * dim, &sum, 0, 1, 2 * dim)
    return sum
  }
}
