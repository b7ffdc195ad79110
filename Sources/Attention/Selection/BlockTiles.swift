import AttentionCore
import Basics
import Tensors

/// The tiles of blocks that rows have chosen: the rows that chose a block are gathered, 64 to a tile, and see the whole block.
///
/// In a causal shape the rows of a block see it up to their own positions, a tile of neighbouring rows each. Few rows (decoding) have a
/// tile each, with runs of keys.
/// - Complexity: O(rows · choices + blocks) time and memory a list.
struct BlockTiles: Sendable {
  let blocks: KeyBlocks
  let choice: RowChoice
  /// Whether every row has chosen its own block, or may have left it out.
  let hasOwn: Bool

  private var shape: AttentionShape { blocks.shape }

  /// Up to so many rows are computed one by one.
  static let fewRows = 16
  /// No tile has more keys, so that none is split along them: where it would be depends on what all rows choose, and what a row
  /// gets must not depend on later rows. `split_keys` is never lower.
  static let tileKeys = 2048

  /// The lists of all heads, counted in the context's ledger: they are made anew for all inputs, so they are workspace.
  /// - Parameter heads: heads that have chosen, each for as many neighbouring heads of q.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func pattern(heads: Int, in context: ExecutionContext) throws -> TilePattern {
    let lists = try Parallel.map(count: shape.batch * heads, threads: context.threads) { index in
      try context.checkCancellation()
      return tiles(batch: index / heads, head: index % heads)
    }
    let pattern = TilePattern(
      perBatchAndHead: lists, heads: heads, sharedBy: shape.queryHeads / heads)
    try pattern.count(in: context.ledger)
    return pattern
  }

  private func tiles(batch: Int, head: Int) -> TileList {
    var list = TileList()
    guard shape.queryLength > Self.fewRows else {
      for row in 0..<shape.queryLength {
        let segments = segments(batch, row, choice.items(batch, head, row))
        if !segments.isEmpty { list.addTile(start: row, count: 1, segments: segments) }
      }
      return list
    }
    if shape.isCausal { addOwn(batch, head, to: &list) }
    let valid = shape.validKeys(batch: batch)
    let members = members(batch, head)
    for block in 0..<blocks.count(valid: valid) {
      let rows = Int(members.starts[block])..<Int(members.starts[block + 1])
      for keys in pieces(blocks.keys(block, valid: valid)) {
        for tile in rowTiles(rows, members.rows, valid: valid) {
          list.addTile(
            rows: Array(members.rows[tile]), segments: [.init(start: keys.lowerBound, count: keys.count)])
        }
      }
    }
    return list
  }

  /// Gathered rows, 64 to a tile, none with rows on both sides of a sequence's end: behind it may stand padding.
  private func rowTiles(_ rows: Range<Int>, _ members: [Int32], valid: Int) -> [Range<Int>] {
    let end = valid - shape.queryOffset
    guard valid < shape.keyLength else { return shape.rowTiles(of: rows) }
    let cut = rows.first { Int(members[$0]) >= end } ?? rows.upperBound
    return shape.rowTiles(of: rows.lowerBound..<cut) + shape.rowTiles(of: cut..<rows.upperBound)
  }

  /// Keys in runs that no tile is split for.
  private func pieces(_ keys: Range<Int>) -> [Range<Int>] {
    stride(from: keys.lowerBound, to: keys.upperBound, by: Self.tileKeys).map {
      $0..<min($0 + Self.tileKeys, keys.upperBound)
    }
  }

  /// The rows that chose every block, rising, in a causal shape but for those that stand in it.
  private func members(_ batch: Int, _ head: Int) -> (rows: [Int32], starts: [Int32]) {
    let rows = shape.queryLength
    func forEach(_ body: (_ row: Int, _ block: Int) -> Void) {
      for row in 0..<rows {
        let own = shape.isCausal ? blocks.own(row) ?? -1 : -1
        for item in choice.items(batch, head, row) where Int(item) != own { body(row, Int(item)) }
      }
    }
    var starts = [Int32](repeating: 0, count: blocks.count + 1)
    forEach { starts[$1 + 1] += 1 }
    for block in 0..<blocks.count { starts[block + 1] += starts[block] }
    var next = starts
    var members = [Int32](repeating: 0, count: Int(starts[blocks.count]))
    forEach { row, block in
      members[Int(next[block])] = Int32(row)
      next[block] += 1
    }
    return (members, starts)
  }

  /// Runs of the rows that stand in a block of a causal shape, block by block.
  static func forEachOwnRun(
    _ blocks: KeyBlocks, batch: Int, _ body: (_ rows: Range<Int>, _ keys: Range<Int>) -> Void
  ) {
    let valid = blocks.shape.validKeys(batch: batch), rows = blocks.shape.queryLength
    for block in 0..<blocks.count(valid: valid) {
      let first = block * blocks.size - blocks.shape.queryOffset
      let (begin, end) = (max(0, first), min(rows, first + blocks.size))
      if begin < end { body(begin..<end, blocks.keys(block, valid: valid)) }
    }
  }

  private func addOwn(_ batch: Int, _ head: Int, to list: inout TileList) {
    let offset = shape.queryOffset
    Self.forEachOwnRun(blocks, batch: batch) { rows, keys in
      for tile in shape.rowTiles(of: rows, cutAt: shape.validKeys(batch: batch)) {
        for piece in pieces(keys) where piece.lowerBound <= tile.upperBound - 1 + offset {
          guard hasOwn else {
            let seen = tile.filter { choice.contains(keys.lowerBound / blocks.size, batch, head, $0) }
            guard let last = seen.last else { continue }
            let end = min(piece.upperBound, last + offset + 1)
            if end > piece.lowerBound {
              list.addTile(
                rows: seen.map { Int32($0) },
                segments: [
                  .init(
                    start: piece.lowerBound, count: end - piece.lowerBound, mask: BandSegments.causal.mask)
                ])
            }
            continue
          }
          list.addTile(
            start: tile.lowerBound, count: tile.count,
            segments: BandSegments.causal.segments(
              first: tile.lowerBound + offset, last: tile.upperBound - 1 + offset, keys: piece))
        }
      }
    }
  }

  /// The keys of blocks that a row sees, neighbouring blocks together.
  private func segments(
    _ batch: Int, _ row: Int, _ items: UnsafeBufferPointer<Int32>
  ) -> [TileList.Segment] {
    let visible = shape.visibleKeys(batch: batch, row: row)
    var segments: [TileList.Segment] = []
    for item in items {
      let keys = blocks.keys(Int(item), valid: visible)
      guard !keys.isEmpty else { continue }
      if let last = segments.last, Int(last.start + last.count) == keys.lowerBound {
        segments[segments.count - 1].count += Int32(keys.count)
      } else {
        segments.append(TileList.Segment(start: keys.lowerBound, count: keys.count))
      }
    }
    return segments
  }
}
