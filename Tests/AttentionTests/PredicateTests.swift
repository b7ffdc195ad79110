import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// Tiles that are found from what is said of pairs: the same pairs as tiles that were written, and as few executed.
@Suite struct PredicateTests {
  static let key = RandomKey(seed: 3)

  static func shapes(_ length: Int, heads: Int = 1) throws -> [AttentionShape] {
    var shapes: [AttentionShape] = []
    for isCausal in [false, true] {
      for keyLength in Set([length, length + 37, max(1, length - 20)]) {
        shapes.append(
          try AttentionShape(
            queryHeads: heads, queryLength: length, keyLength: keyLength, headDim: 1, isCausal: isCausal))
      }
    }
    return shapes
  }

  /// How often every pair is in a list.
  static func counts(_ list: TileList, _ shape: AttentionShape) -> [Int] {
    var counts = [Int](repeating: 0, count: shape.queryLength * shape.keyLength)
    list.forEachPair(queryOffset: shape.queryOffset) { counts[$0 * shape.keyLength + $1] += 1 }
    return counts
  }

  /// The pairs of a variant's tiles, and of tiles found from its definition.
  static func compare<V: PatternVariant>(
    _ type: V.Type, _ configuration: V.Configuration, _ shape: AttentionShape, overhead: Double
  ) throws {
    do { try configuration.validate(for: shape) } catch { return }
    let written = try V(configuration, for: shape, key: key)
    for head in 0..<shape.queryHeads {
      let found = TileList(for: shape) { query, key in
        written.multiplicity(batch: 0, head: head, query: query - shape.queryOffset, key: key)
      }
      let list = written.pattern.list(batch: 0, head: head)
      #expect(counts(found, shape) == counts(list, shape), "\(configuration), \(shape)")
      #expect(
        found.executedPairs <= overhead * list.executedPairs + 64,
        "\(configuration), \(shape): \(found.executedPairs) executed, \(list.executedPairs) in written tiles")
      #expect(
        found.neededPairs(queryOffset: shape.queryOffset, validKeys: shape.keyLength)
          == list.neededPairs(queryOffset: shape.queryOffset, validKeys: shape.keyLength))
    }
  }

  /// Calls `body` where tiles over narrow bands have so many rows, whatever the processor likes.
  static func withTiles(rows: Int, _ body: () throws -> Void) rethrows {
    try ProcessorChoices.$override.withValue(ManyThreadsTests.choices(bandRows: rows), operation: body)
  }

  @Test(
    "bands, dilation, sinks: as few pairs as in written tiles, however high these are",
    arguments: [1, 2, 63, 64, 100, 257], [16, 32, 64])
  func windows(length: Int, rows: Int) throws {
    let windows: [SlidingWindow.Configuration] =
      SlidingWindow.Configuration.samples + [.init(left: 30, right: 30, dilation: 2)]
    try Self.withTiles(rows: rows) {
      for shape in try Self.shapes(length, heads: 2) {
        for window in windows { try Self.compare(SlidingWindow.self, window, shape, overhead: 1.2) }
      }
    }
  }

  @Test(
    "global tokens, chunks, random blocks; blocks lower than a tile cost more", arguments: [1, 64, 100, 257],
    [16, 32, 64])
  func others(length: Int, rows: Int) throws {
    // Chunks and blocks of 8 to 32 rows.
    let more = Double(max(1, rows / 32))
    try Self.withTiles(rows: rows) {
      for shape in try Self.shapes(length) {
        for configuration in LocalGlobal.Configuration.samples {
          try Self.compare(LocalGlobal.self, configuration, shape, overhead: 2)
        }
        for configuration in ChunkedAttention.Configuration.samples {
          try Self.compare(ChunkedAttention.self, configuration, shape, overhead: 2 * more)
        }
        for configuration in RandomSparse.Configuration.samples {
          try Self.compare(RandomSparse.self, configuration, shape, overhead: 4 * more)
        }
        try Self.compare(FullAttention.self, .init(), shape, overhead: 1)
      }
    }
  }

  @Test(
    "tiles of a narrow band are as low as the processor likes, those of all pairs and of wide bands are not",
    arguments: [16, 32, 64])
  func heights(rows: Int) throws {
    let shape = try AttentionShape(queryLength: 2048, headDim: 1)
    func highest(_ list: TileList) -> Int { list.tiles.map { Int($0.count) }.max() ?? 0 }
    Self.withTiles(rows: rows) {
      for pass in [PassKind.forward, .backward] {
        #expect(highest(TileList(for: shape, pass: pass) { abs($0 - $1) <= 20 }) == rows)
        let dilated = TileList(for: shape, pass: pass) { ($0 - $1) % 4 == 0 && abs($0 - $1) <= 80 }
        #expect(highest(dilated) == rows)
        #expect(highest(TileList(for: shape, pass: pass) { _, _ in true }) == 64)
        #expect(highest(TileList(for: shape, pass: pass) { abs($0 - $1) <= 600 }) == 64)
      }
    }
  }

  @Test("a band is found as bands and whole runs, dilation as rows and keys at its step, stripes as strides")
  func segments() throws {
    let shape = try AttentionShape(queryLength: 600, headDim: 1, isCausal: true)
    Self.withTiles(rows: 64) {
      let band = TileList(for: shape, pass: .backward) { query, key in query - key < 100 }
      #expect(band.bits.isEmpty && band.keyIndices.isEmpty && band.tiles.count == 10)
      #expect(band.segments.contains { $0.mask == .full })
    }
    let dilated = TileList(for: shape) { query, key in query - key <= 90 && (query - key) % 3 == 0 }
    #expect(dilated.bits.isEmpty && dilated.keyIndices.isEmpty)
    #expect(dilated.tiles.allSatisfy { $0.stride == 3 })
    #expect(dilated.segments.allSatisfy { $0.stride == 3 })
    let stripes = TileList(for: shape.notCausal) { _, key in key % 7 == 2 }
    #expect(stripes.bits.isEmpty && stripes.keyIndices.isEmpty)
    #expect(stripes.segments.allSatisfy { $0.stride == 7 && $0.mask == .full })
  }

  @Test("every pair is asked for once, and a few of them again for the step; a causal future never")
  func calls() throws {
    for (isCausal, most) in [(false, 512 * 512), (true, 512 * 513 / 2)] {
      let shape = try AttentionShape(queryLength: 512, headDim: 1, isCausal: isCausal)
      var calls = 0
      _ = TileList(for: shape) { query, key in
        calls += 1
        #expect(!isCausal || key <= query)
        return (query * key) % 5 == 0
      }
      // Three rows for the gaps; three groups of 64 rows for each of five steps.
      #expect(calls >= most && calls <= most + (3 + 5 * 3 * 64) * 512, "\(calls)")
    }
  }

  @Test("an error of a predicate is thrown")
  func errors() throws {
    struct Refused: Error {}
    let shape = try AttentionShape(queryLength: 70, headDim: 1)
    #expect(throws: Refused.self) {
      _ = try TilePattern(for: shape) { (query, key) throws(Refused) -> Bool in
        if query == 69, key == 68 { throw Refused() }
        return true
      }
    }
  }

  @Test("a predicate of heads gives each its own tiles")
  func heads() throws {
    let shape = try AttentionShape(queryHeads: 3, queryLength: 40, headDim: 1)
    let pattern = TilePattern(for: shape) { query, key, head in abs(query - key) <= head }
    for head in 0..<3 {
      let needed = pattern.list(batch: 0, head: head).neededPairs(queryOffset: 0, validKeys: 40)
      #expect(needed == Double(40 + 2 * (head * 40 - head * (head + 1) / 2)))
    }
  }
}

extension AttentionShape {
  fileprivate var notCausal: AttentionShape {
    var shape = self
    shape.isCausal = false
    return shape
  }
}
