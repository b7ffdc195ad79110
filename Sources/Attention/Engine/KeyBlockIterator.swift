import AttentionCore
import CKernels

/// Gives the kernels the keys of a tile, a KV block at a time.
struct KeyBlockIterator {
  private var segment: Int
  private let lastSegment: Int
  private var offset = 0
  /// Places of the current segment are fed up to this one.
  private var end = Int.max
  private var left: Int
  /// The keys that are fed, where it is not all.
  private var range: Range<Int>?

  /// All keys of a tile.
  init(_ tile: TileList.QueryTile) {
    segment = Int(tile.firstSegment)
    lastSegment = segment + Int(tile.segmentCount)
    left = .max
  }

  /// The KV split `split` of `count` of a tile that has `keys` keys.
  init(_ tile: TileList.QueryTile, in list: TileList, split: Int, of count: Int, keys: Int) {
    self.init(tile)
    let from = keys * split / count
    left = keys * (split + 1) / count - from
    var skip = from
    while segment < lastSegment, skip >= Int(list.segments[segment].count) {
      skip -= Int(list.segments[segment].count)
      segment += 1
    }
    offset = skip
  }

  /// The keys of a tile that lie in a range.
  /// - Precondition: no segment is gathered.
  init(_ tile: TileList.QueryTile, in list: TileList, keys: Range<Int>) {
    self.init(tile)
    range = keys
    enter(list)
  }

  /// Begins with a segment, or the next one that has keys in the range.
  private mutating func enter(_ list: TileList) {
    offset = 0
    guard let range else { return }
    while segment < lastSegment {
      let places = list.segments[segment].places(in: range)
      if !places.isEmpty {
        (offset, end) = (places.lowerBound, places.upperBound)
        return
      }
      segment += 1
    }
  }

  var isDone: Bool { segment >= lastSegment || left <= 0 }

  /// Calls `body` for runs of at most `limit` keys in all, and moves on. Before a run, `ahead` is called with the keys of
  /// the one after it when they do not go on where it ends.
  mutating func next(
    _ limit: Int, in list: TileList, _ tables: TileTables, ahead: (attn_list) -> Void = { _ in },
    _ body: (UnsafePointer<attn_run>) -> Void
  ) {
    var room = min(limit, left)
    while room > 0, segment < lastSegment {
      let current = list.segments[segment]
      let last = min(end, Int(current.count))
      let count = min(room, last - offset)
      var run = tables.run(current, from: offset, count: count)
      if range == nil, segment + 1 < lastSegment {
        let following = list.segments[segment + 1]
        if following.stride != 1 || following.start != current.start + current.count {
          ahead(tables.run(following, from: 0, count: min(limit, Int(following.count))).keys)
        }
      }
      body(&run)
      room -= count
      if left != .max { left -= count }
      offset += count
      if offset >= last {
        segment += 1
        enter(list)
      }
    }
  }
}

/// Pointers into the index and bit tables of a list, valid inside `TileList.withTables`.
struct TileTables {
  let keys: UnsafePointer<Int32>?
  let queries: UnsafePointer<Int32>?
  let bits: UnsafePointer<UInt64>?

  /// The rows of a tile.
  func rows(_ tile: TileList.QueryTile) -> attn_list {
    attn_list(
      index: tile.stride == 0 ? queries.map { $0 + Int(tile.start) } : nil, start: tile.start,
      stride: tile.stride, count: tile.count)
  }

  /// `count` keys of a segment from its `offset`-th on.
  func run(_ segment: TileList.Segment, from offset: Int, count: Int) -> attn_run {
    let index = segment.stride == 0 ? keys.map { $0 + Int(segment.start) + offset } : nil
    let list = attn_list(
      index: index, start: segment.start + Int32(offset) * segment.stride, stride: segment.stride,
      count: Int32(count))
    switch segment.mask {
    case .full: return attn_run(keys: list, mask: Int32(ATTN_FULL), low: 0, high: 0, bits: nil)
    case .band(let low, let high):
      return attn_run(keys: list, mask: Int32(ATTN_BAND), low: low, high: high, bits: nil)
    case .notSelf: return attn_run(keys: list, mask: Int32(ATTN_NOT_SELF), low: 0, high: 0, bits: nil)
    case .bits(let first):
      let words = bits.map { $0 + Int(first) + offset }
      return attn_run(keys: list, mask: Int32(ATTN_BITS), low: 0, high: 0, bits: words)
    }
  }
}

extension TileList {
  /// Calls `body` with pointers into the tables.
  func withTables<R>(_ body: (TileTables) throws -> R) rethrows -> R {
    try keyIndices.withUnsafeBufferPointer { keys in
      try queryIndices.withUnsafeBufferPointer { queries in
        try bits.withUnsafeBufferPointer { bits in
          try body(TileTables(keys: keys.baseAddress, queries: queries.baseAddress, bits: bits.baseAddress))
        }
      }
    }
  }
}
