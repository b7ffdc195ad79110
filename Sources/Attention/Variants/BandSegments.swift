import AttentionCore
import Tensors

/// Splits "keys within a band of a tile's rows" into segments: a band on the left, all pairs, a band on the right.
///
/// The rows of a tile stand at `first, first + stride, … , last`; a row `i` sees the keys `j` of `keys`, one in every
/// `stride`, with `low ≤ i − j ≤ high`. Keys that every row sees need no mask, so the engine spends nothing on them.
/// - Complexity: O(1) a tile.
struct BandSegments {
  /// The smallest and the largest `i − j`.
  let low: Int, high: Int
  /// The distance between neighbouring rows, and between neighbouring keys.
  var stride = 1

  /// Stands for no limit; leaves room for sums.
  static let unbounded = 1 << 30
  /// A run without a mask that is shorter than this is not worth a segment of its own.
  private static let shortestRun = 16

  init(low: Int, high: Int, stride: Int = 1) {
    self.low = max(low, -BandSegments.unbounded)
    self.high = min(high, BandSegments.unbounded)
    self.stride = stride
  }

  /// Rows of a tile of a pass: the corners of a tile, where only some rows see a key, are as high as the tile, so tiles over
  /// narrow bands may be lower (`band_rows`, `band_backward_rows`). Backward products are as deep as the tile is high, and may lose
  /// more by that than they save.
  func tileRows(_ pass: PassKind) -> Int {
    let choices = ProcessorChoices.current
    guard (high - low) / stride < choices.bandKeys else { return TileList.lanes }
    return min(pass == .backward ? choices.bandBackwardRows : choices.bandRows, TileList.lanes)
  }

  /// Keys up to the row's own position.
  static let causal = BandSegments(low: 0, high: unbounded)

  /// The mask of a part that some rows see in part.
  var mask: TileList.Mask { .band(low: Int32(low), high: Int32(high)) }

  /// The segments for rows at positions `first ... last` and keys of `keys` that are congruent to `first`.
  func segments(first: Int, last: Int, keys: Range<Int>) -> [TileList.Segment] {
    var segments: [TileList.Segment] = []
    segments.reserveCapacity(3)
    addSegments(first: first, last: last, keys: keys, to: &segments)
    return segments
  }

  /// Adds them to an array that serves many tiles.
  func addSegments(first: Int, last: Int, keys: Range<Int>, to segments: inout [TileList.Segment]) {
    let begin = aligned(max(keys.lowerBound, first - high), to: first)
    let end = min(keys.upperBound - 1, last - low)
    guard begin <= end else { return }
    let fullBegin = aligned(max(keys.lowerBound, last - high), to: first)
    let fullEnd = min(keys.upperBound - 1, first - low)
    let fullCount = fullBegin <= fullEnd ? (fullEnd - fullBegin) / stride + 1 : 0
    let total = (end - begin) / stride + 1
    if fullCount == total { return segments.append(run(begin, end, .full)) }
    guard fullCount >= BandSegments.shortestRun else { return segments.append(run(begin, end, mask)) }
    let fullLast = fullBegin + (fullCount - 1) * stride
    if begin < fullBegin { segments.append(run(begin, fullBegin - stride, mask)) }
    segments.append(run(fullBegin, fullLast, .full))
    if fullLast < end - stride + 1 { segments.append(run(fullLast + stride, end, mask)) }
  }

  private func run(_ begin: Int, _ end: Int, _ mask: TileList.Mask) -> TileList.Segment {
    TileList.Segment(
      start: max(0, begin), count: begin > end ? 0 : (end - begin) / stride + 1, stride: stride, mask: mask)
  }

  /// The first number from `position` on that is congruent to `anchor`.
  private func aligned(_ position: Int, to anchor: Int) -> Int {
    let rest = (anchor - position) % stride
    return position + (rest < 0 ? rest + stride : rest)
  }
}
