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
  /// What lies between the buckets of two heads: 0 where they have the same.
  private let headStride: Int

  /// Lays out biases whose buckets are the same in all heads.
  /// - Parameters:
  ///   - values: by head and bucket.
  ///   - bucket: the bucket of a distance.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ values: [[Float]], shape: AttentionShape, ledger: MemoryLedger?, bucket: (_ distance: Int) -> Int
  ) throws(MemoryLimitExceeded) {
    try self.init(values, shape: shape, perHead: false, ledger: ledger) { _, distance in bucket(distance) }
  }

  /// Lays out biases.
  /// - Parameters:
  ///   - values: by head and bucket.
  ///   - perHead: whether heads differ in their buckets.
  ///   - bucket: the bucket of a head's distance.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ values: [[Float]], shape: AttentionShape, perHead: Bool, ledger: MemoryLedger?,
    bucket: (_ head: Int, _ distance: Int) -> Int
  ) throws(MemoryLimitExceeded) {
    bucketCount = values.map(\.count).max() ?? 0
    lowest = shape.queryOffset - (shape.keyLength - 1)
    width = shape.queryLength + shape.keyLength - 1 + TileList.lanes
    let heads = values.count
    headStride = perHead ? width : 0
    var floats = try Tensor(uninitialized: [heads, width], ledger: ledger)
    // As wide as a float, and counted like one.
    var words = try Tensor(uninitialized: [perHead ? heads : 1, width], ledger: ledger)
    let table = floats.pinnedForWriting(), raw = words.pinnedForWriting()
    let numbers = raw.viewed(as: Int32.self)
    for head in 0..<heads {
      for place in 0..<width {
        let isFirst = perHead || head == 0
        let number = isFirst ? bucket(head, lowest + place) : Int(numbers[place])
        if isFirst { numbers[head * headStride + place] = Int32(number) }
        table[head * width + place] = 1.44269504 * values[head][number]
      }
    }
    (self.table, self.numbers) = (table, numbers)
  }

  /// Bytes of the tables.
  static func byteCount(_ shape: AttentionShape, perHead: Bool = false) -> Double {
    let width = shape.queryLength + shape.keyLength - 1 + TileList.lanes
    return Double(4 * width * (perHead ? 2 * shape.queryHeads : shape.queryHeads + 1))
  }

  /// log2(e) times the bias, by distance.
  func values(of head: Int) -> UnsafePointer<Float> {
    UnsafePointer(table + (head * width - lowest))
  }

  /// The buckets, by distance.
  func buckets(of head: Int) -> UnsafePointer<Int32> {
    UnsafePointer(numbers + (head * headStride - lowest))
  }

  func value(_ head: Int, distance: Int) -> Double {
    Double(table[head * width + distance - lowest]) / 1.4426950408889634
  }

  func bucket(_ head: Int, distance: Int) -> Int { Int(numbers[head * headStride + distance - lowest]) }
}
