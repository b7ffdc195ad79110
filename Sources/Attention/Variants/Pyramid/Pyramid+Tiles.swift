import AttentionCore
import Tensors

extension Pyramid {
  /// The tiles of sequences with so many valid keys, over the rows of all levels.
  /// - Complexity: O(n·window + n·log n) word operations.
  static func tiles(
    _ window: Int, _ shape: AttentionShape, _ rows: PyramidRows, validKeys: Int
  ) -> TileList {
    let levels = PyramidLevels(window: window, isCausal: shape.isCausal, keys: validKeys)
    var list = TileList()
    for tile in shape.rowTiles(of: 0..<shape.queryLength, cutAt: validKeys) {
      var segments: [TileList.Segment] = []
      for level in 0...levels.last where validKeys > 0 {
        let positions = tile.map { $0 + shape.queryOffset }
        for ranges in [
          positions.map { levels.past(level, $0) }, positions.map { levels.future(level, behind: $0) },
        ] {
          add(ranges, from: rows.starts[level], to: &list, &segments)
        }
      }
      list.addTile(start: tile.lowerBound, count: tile.count, segments: segments)
    }
    return list
  }

  /// A run of blocks without a mask that is shorter than this is not worth a segment of its own.
  private static let shortestRun = 16

  /// The blocks that every row sees, and on both sides those that some rows see.
  /// - Parameter ranges: the blocks of every row; neither end falls from row to row.
  private static func add(
    _ ranges: [Range<Int>], from start: Int, to list: inout TileList, _ segments: inout [TileList.Segment]
  ) {
    let seen = ranges.filter { !$0.isEmpty }
    guard let low = seen.map(\.lowerBound).min(), let high = seen.map(\.upperBound).max() else { return }
    var full = low..<low
    if seen.count == ranges.count, let first = seen.map(\.lowerBound).max(),
      let last = seen.map(\.upperBound).min(), last - first >= min(shortestRun, high - low)
    {
      full = first..<last
    }
    func append(_ blocks: Range<Int>, isFull: Bool) {
      guard !blocks.isEmpty else { return }
      let mask: TileList.Mask =
        isFull
        ? .full
        : list.bitMask(
          blocks.map { block in
            ranges.enumerated().reduce(0) { $1.element.contains(block) ? $0 | 1 << UInt64($1.offset) : $0 }
          })
      segments.append(.init(start: start + blocks.lowerBound, count: blocks.count, mask: mask))
    }
    append(low..<full.lowerBound, isFull: false)
    append(full, isFull: true)
    append(full.upperBound..<high, isFull: false)
  }
}
