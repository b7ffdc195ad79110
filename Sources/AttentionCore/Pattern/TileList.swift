/// Which keys every query sees, as a compressed list: query tiles, each with segments of keys.
///
/// A query tile is up to `TileList.lanes` query rows; each of its segments is a run of keys with a mask. Rows and keys
/// may be strided (dilated patterns) or gathered through an index table (scattered global tokens, hashed buckets), so
/// tiles fit the pattern at token granularity. Rows that appear in several tiles get one softmax over all of them:
/// the engine merges their partial results by log-sum-exp; a key that appears twice counts twice (multiplicity 2).
///
/// Causality is part of the list; key padding is not: the engine cuts keys `j ≥ keyLengths[b]`.
/// - Complexity: memory is O(tiles + segments + index table + bit rows), never O(n²).
public struct TileList: Sendable, Hashable {
  /// The most rows of a query tile: the bits of a mask word.
  public static let lanes = 64

  /// Which pairs of a segment count. Positions are absolute: `i = row + queryOffset`, `j = key row`.
  public enum Mask: Sendable, Hashable {
    /// All pairs.
    case full
    /// Pairs with `low ≤ i − j ≤ high`.
    case band(low: Int32, high: Int32)
    /// Pairs with `i ≠ j`.
    case notSelf
    /// Bit `lane` of `bits[offset + t]`, for the t-th key of the segment.
    case bits(offset: Int32)
  }

  /// A run of keys.
  public struct Segment: Sendable, Hashable {
    /// The first key row; an offset into `keyIndices` when `stride` is 0.
    public var start: Int32
    /// The number of keys.
    public var count: Int32
    /// The distance between keys, at least 1; 0 when the keys are `keyIndices[start ..< start + count]`.
    public var stride: Int32
    /// Which pairs count.
    public var mask: Mask

    /// Creates a segment.
    public init(start: Int, count: Int, stride: Int = 1, mask: Mask = .full) {
      self.start = Int32(start)
      self.count = Int32(count)
      self.stride = Int32(stride)
      self.mask = mask
    }
  }

  /// A group of query rows and the range of its segments.
  public struct QueryTile: Sendable, Hashable {
    /// The first query row; an offset into `queryIndices` when `stride` is 0.
    public var start: Int32
    /// The number of rows, 1 … 64.
    public var count: Int32
    /// The distance between rows, at least 1; 0 when the rows are `queryIndices[start ..< start + count]`.
    public var stride: Int32
    /// The first of its segments.
    public var firstSegment: Int32
    /// The number of its segments.
    public var segmentCount: Int32
  }

  /// The query tiles.
  public private(set) var tiles: [QueryTile] = []
  /// The segments of all tiles, one tile after another.
  public private(set) var segments: [Segment] = []
  /// The table of gathered key rows.
  public private(set) var keyIndices: [Int32] = []
  /// The table of gathered query rows.
  public private(set) var queryIndices: [Int32] = []
  /// One word per key of a `bits` segment; bit `lane` is set when the tile's row `lane` sees the key.
  public private(set) var bits: [UInt64] = []

  /// Creates an empty list.
  public init() {}

  /// Reserves room.
  public mutating func reserve(tiles: Int, segments: Int) {
    self.tiles.reserveCapacity(tiles)
    self.segments.reserveCapacity(segments)
  }

  /// Adds a tile of rows `start, start + stride, …`.
  /// - Precondition: 1 … 64 rows; segments are not empty runs.
  public mutating func addTile(start: Int, count: Int, stride: Int = 1, segments: [Segment]) {
    precondition(
      count >= 1 && count <= TileList.lanes && stride >= 1, "tile of \(count) rows, stride \(stride)")
    add(start: start, count: count, stride: stride, segments)
  }

  /// Adds a tile of scattered rows.
  /// - Precondition: 1 … 64 rows.
  public mutating func addTile(rows: [Int32], segments: [Segment]) {
    precondition(rows.count >= 1 && rows.count <= TileList.lanes, "tile of \(rows.count) rows")
    let start = queryIndices.count
    queryIndices.append(contentsOf: rows)
    add(start: start, count: rows.count, stride: 0, segments)
  }

  private mutating func add(start: Int, count: Int, stride: Int, _ given: [Segment]) {
    let first = segments.count
    for segment in given where segment.count > 0 { segments.append(segment) }
    tiles.append(
      QueryTile(
        start: Int32(start), count: Int32(count), stride: Int32(stride), firstSegment: Int32(first),
        segmentCount: Int32(segments.count - first)))
  }

  /// Adds gathered keys to the table and returns a segment for them. A table entry may serve several segments.
  public mutating func gathered(keys: [Int32], mask: Mask = .full) -> Segment {
    let start = keyIndices.count
    keyIndices.append(contentsOf: keys)
    return Segment(start: start, count: keys.count, stride: 0, mask: mask)
  }

  /// Adds mask words and returns the mask for a segment of as many keys.
  public mutating func bitMask(_ words: [UInt64]) -> Mask {
    let offset = bits.count
    bits.append(contentsOf: words)
    return .bits(offset: Int32(offset))
  }

  /// Bytes that the list holds.
  public var byteCount: Int {
    tiles.count * MemoryLayout<QueryTile>.stride + segments.count * MemoryLayout<Segment>.stride
      + (keyIndices.count + queryIndices.count) * MemoryLayout<Int32>.stride
      + bits.count * MemoryLayout<UInt64>.stride
  }

  /// Pairs that the tiles execute: rows times keys, summed.
  /// - Complexity: O(segments).
  public var executedPairs: Double {
    var sum = 0.0
    for tile in tiles {
      for index in 0..<Int(tile.segmentCount) {
        sum += Double(tile.count) * Double(segments[Int(tile.firstSegment) + index].count)
      }
    }
    return sum
  }
}
