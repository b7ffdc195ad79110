import AttentionCore
import CKernels
import Tensors

/// A bias on scores by head and bucket of the distance i − j, laid out by distance.
///
/// A backward pass sums slopes by row and bucket; the sums of all rows (`summedByHead`) are the gradient of
/// a bucket's bias.
/// - Complexity: O(heads · (queryLength + keyLength)) memory.
struct DistanceBias: Sendable {
  /// Buckets of a head.
  let bucketCount: Int
  private let table: PinnedView<Float>, numbers: PinnedView<Int32>
  /// The smallest distance, and how many there are with what may be read behind the largest.
  private let lowest: Int, width: Int

  /// Lays out biases.
  /// - Parameters:
  ///   - values: by head and bucket.
  ///   - bucket: the bucket of a distance.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ values: [[Float]], shape: AttentionShape, ledger: MemoryLedger?, bucket: (_ distance: Int) -> Int
  ) throws(MemoryLimitExceeded) {
    bucketCount = values.map(\.count).max() ?? 0
    lowest = shape.queryOffset - (shape.keyLength - 1)
    width = shape.queryLength + shape.keyLength - 1 + TileList.lanes
    let heads = values.count
    var floats = try Tensor(uninitialized: [heads, width], ledger: ledger)
    // As wide as a float, and counted like one.
    var words = try Tensor(uninitialized: [width], ledger: ledger)
    let table = floats.pinnedForWriting(), raw = words.pinnedForWriting()
    let numbers = raw.viewed(as: Int32.self)
    for place in 0..<width {
      let number = bucket(lowest + place)
      numbers[place] = Int32(number)
      for head in 0..<heads { table[head * width + place] = 1.44269504 * values[head][number] }
    }
    (self.table, self.numbers) = (table, numbers)
  }

  /// Bytes of the tables.
  static func byteCount(_ shape: AttentionShape) -> Double {
    let width = shape.queryLength + shape.keyLength - 1 + TileList.lanes
    return Double(4 * width * (shape.queryHeads + 1))
  }

  /// log2(e) times the bias, by distance.
  func values(of head: Int) -> UnsafePointer<Float> {
    UnsafePointer(table + (head * width - lowest))
  }

  /// The buckets, by distance.
  var buckets: UnsafePointer<Int32> { UnsafePointer(numbers + -lowest) }

  func value(_ head: Int, distance: Int) -> Double {
    Double(table[head * width + distance - lowest]) / 1.4426950408889634
  }

  func bucket(distance: Int) -> Int { Int(numbers[distance - lowest]) }
}
