import AttentionCore
import CKernels
import Tensors

/// A bias on scores by head and bucket of the distance i − j, laid out by distance.
///
/// A backward pass sums slopes by row and bucket; the sums of all rows are the gradient of a bucket's bias (`sum`).
/// - Complexity: O(heads · (queryLength + keyLength)) memory.
struct DistanceBias: Sendable {
  /// Buckets of a head.
  let bucketCount: Int
  private let table: PinnedView<Float>, numbers: PinnedView<Int32>
  /// The smallest distance, and how many there are with what may be read behind the largest.
  private let lowest: Int, width: Int
  /// Whether every head has buckets of its own.
  private let hasOwnBuckets: Bool

  /// Lays out biases.
  /// - Parameters:
  ///   - values: by head and bucket.
  ///   - bucket: the bucket of a head at a distance; `ownBuckets`: whether heads differ in it.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ values: [[Float]], shape: AttentionShape, ownBuckets: Bool = false, ledger: MemoryLedger?,
    bucket: (_ head: Int, _ distance: Int) -> Int
  ) throws(MemoryLimitExceeded) {
    bucketCount = values.map(\.count).max() ?? 0
    hasOwnBuckets = ownBuckets
    lowest = shape.queryOffset - (shape.keyLength - 1)
    width = shape.queryLength + shape.keyLength - 1 + TileList.lanes
    let heads = values.count
    var floats = try Tensor(uninitialized: [heads, width], ledger: ledger)
    // As wide as a float, and counted like one.
    var words = try Tensor(uninitialized: [ownBuckets ? heads : 1, width], ledger: ledger)
    let table = floats.pinnedForWriting(), raw = words.pinnedForWriting()
    let numbers = raw.viewed(as: Int32.self)
    for head in 0..<heads {
      for place in 0..<width {
        let number = bucket(head, lowest + place)
        if ownBuckets || head == 0 { numbers[(ownBuckets ? head : 0) * width + place] = Int32(number) }
        table[head * width + place] = 1.44269504 * values[head][number]
      }
    }
    (self.table, self.numbers) = (table, numbers)
  }

  /// Bytes of the tables.
  static func byteCount(_ shape: AttentionShape, ownBuckets: Bool) -> Double {
    let width = shape.queryLength + shape.keyLength - 1 + TileList.lanes
    return Double(4 * width * (shape.queryHeads + (ownBuckets ? shape.queryHeads : 1)))
  }

  /// log2(e) times the bias, by distance.
  func values(of head: Int) -> UnsafePointer<Float> {
    UnsafePointer(table + (head * width - lowest))
  }

  func buckets(of head: Int) -> UnsafePointer<Int32> {
    UnsafePointer(numbers + ((hasOwnBuckets ? head : 0) * width - lowest))
  }

  func value(_ head: Int, distance: Int) -> Double {
    Double(table[head * width + distance - lowest]) / 1.4426950408889634
  }

  func bucket(_ head: Int, distance: Int) -> Int {
    Int(numbers[(hasOwnBuckets ? head : 0) * width + distance - lowest])
  }

  /// The gradient of every head's bucket from what the rows have summed, `[batch, heads, rows, bucketCount]`, in order.
  static func sum(_ rows: Tensor) -> [[Double]] {
    let (batches, heads, length, count) = (rows.shape[0], rows.shape[1], rows.shape[2], rows.shape[3])
    var totals = [[Double]](repeating: [Double](repeating: 0, count: count), count: heads)
    let source = rows.rows()
    for batch in 0..<batches {
      for head in 0..<heads {
        for row in 0..<length {
          let own = source.row(batch, head, row)
          for bucket in 0..<count { totals[head][bucket] += Double(own[bucket]) }
        }
      }
    }
    return totals
  }
}
