import AttentionCore
import Basics
import Tensors
import Testing

@testable import Attention

/// What the cache of patterns promises: the same pattern for the same key, another for another, bounded and counted.
@Suite struct PatternCacheTests {
  static func list(rows: Int) -> TilePattern {
    var list = TileList()
    for row in 0..<rows { list.addTile(start: row, count: 1, segments: [.init(start: 0, count: row + 1)]) }
    return TilePattern(shared: list)
  }

  static func key(
    _ configuration: SlidingWindow.Configuration = .init(), n: Int = 64, keys: Int? = nil, heads: Int = 1,
    dim: Int = 8, batch: Int = 1, causal: Bool = false, padding: [Int]? = nil, part: String = "",
    draw: RandomKey? = nil
  ) throws -> PatternCache.Key {
    let shape = try AttentionShape(
      batch: batch, queryHeads: heads, queryLength: n, keyLength: keys, headDim: dim, isCausal: causal,
      keyLengths: padding)
    return PatternCache.Key(SlidingWindow.self, configuration, shape: shape, part: part, drawnFrom: draw)
  }

  @Test("a pattern that is kept is not built again")
  func hit() throws {
    let cache = PatternCache(limitBytes: 1 << 20)
    let key = try Self.key()
    let first = cache.pattern(key) { Self.list(rows: 5) }
    let second = cache.pattern(key) {
      Issue.record("built again")
      return Self.list(rows: 6)
    }
    #expect(first == Self.list(rows: 5) && second == first && cache.hits == 1 && cache.count == 1)
    #expect(cache.ledger.currentBytes == first.byteCount)
  }

  @Test("what determines a pattern is in its key, and nothing else")
  func keys() throws {
    let draw = RandomKey(seed: 3)
    let different = [
      try Self.key(), try Self.key(n: 65), try Self.key(keys: 70), try Self.key(causal: true),
      try Self.key(.init(left: 1, right: 256)), try Self.key(.init(left: 256, right: 1)),
      try Self.key(part: "local"), try Self.key(draw: draw), try Self.key(draw: draw("child")),
      try Self.key(heads: 2, draw: draw),
    ]
    #expect(Set(different).count == different.count)
    #expect(try Self.key(heads: 4, dim: 64, batch: 2, padding: [3, 64]) == Self.key())
    let shape = try AttentionShape(queryLength: 64, headDim: 8)
    #expect(PatternCache.Key(ChunkedAttention.self, .init(), shape: shape) != different[0])
  }

  @Test("what was not asked for longest goes first, and the limit holds")
  func bound() throws {
    let one = Self.list(rows: 8).byteCount
    let cache = PatternCache(limitBytes: 2 * one + 1)
    for n in [1, 2, 1, 3] { _ = cache.pattern(try Self.key(n: n)) { Self.list(rows: 8) } }
    #expect(cache.count == 2 && cache.ledger.currentBytes == 2 * one)
    var built: [Int] = []
    for n in [1, 3, 2] {
      _ = cache.pattern(try Self.key(n: n)) {
        built.append(n)
        return Self.list(rows: 8)
      }
    }
    #expect(built == [2])
    let large = cache.pattern(try Self.key(n: 9)) { Self.list(rows: 100) }
    #expect(large == Self.list(rows: 100) && cache.count == 2, "what does not fit is built and not kept")
  }

  @Test("many threads get their own patterns")
  func threads() throws {
    let cache = PatternCache(limitBytes: 1 << 20)
    let keys = try (1...8).map { try Self.key(n: $0) }
    Parallel.forEach(count: 400, threads: 4) { index, _ in
      let rows = 1 + index % 8
      #expect(cache.pattern(keys[rows - 1]) { Self.list(rows: rows) } == Self.list(rows: rows))
    }
    #expect(cache.count == 8)
  }

  @Test("random blocks found in the cache are those of their key")
  func randomBlocks() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 1024, headDim: 8)
    let configuration = RandomSparse.Configuration(blockSize: 32)
    func make(_ seed: UInt64) throws -> RandomSparse {
      try RandomSparse(configuration, for: shape, key: RandomKey(seed: seed))
    }
    let (first, other, again) = (try make(91), try make(92), try make(91))
    #expect(first.pattern == again.pattern && first.pattern != other.pattern)
    for (head, rows) in again.visibleBlocks.enumerated() {
      let list = again.pattern.list(batch: 0, head: head)
      for tile in list.tiles {
        let seen = list.segments(of: tile).flatMap { list.keys(of: $0) }
        let expected = rows[Int(tile.start) / 32].flatMap { $0 * 32..<($0 + 1) * 32 }
        #expect(seen == expected)
      }
    }
  }
}
