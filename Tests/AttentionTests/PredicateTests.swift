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

  @Test("bands, dilation, sinks: as few pairs as in written tiles", arguments: [1, 2, 63, 64, 100, 257])
  func windows(length: Int) throws {
    let windows: [SlidingWindow.Configuration] =
      SlidingWindow.Configuration.samples + [.init(left: 30, right: 30, dilation: 2)]
    for shape in try Self.shapes(length, heads: 2) {
      for window in windows { try Self.compare(SlidingWindow.self, window, shape, overhead: 1.2) }
    }
  }

  @Test(
    "global tokens, chunks, random blocks; blocks lower than a tile cost more", arguments: [1, 64, 100, 257])
  func others(length: Int) throws {
    for shape in try Self.shapes(length) {
      for configuration in LocalGlobal.Configuration.samples {
        try Self.compare(LocalGlobal.self, configuration, shape, overhead: 2)
      }
      for configuration in ChunkedAttention.Configuration.samples {
        try Self.compare(ChunkedAttention.self, configuration, shape, overhead: 2)
      }
      for configuration in RandomSparse.Configuration.samples {
        try Self.compare(RandomSparse.self, configuration, shape, overhead: 4)
      }
      try Self.compare(FullAttention.self, .init(), shape, overhead: 1)
    }
  }

  @Test("a band is found as bands and whole runs, dilation as rows and keys at its step, stripes as strides")
  func segments() throws {
    let shape = try AttentionShape(queryLength: 600, headDim: 1, isCausal: true)
    let band = TileList(for: shape, pass: .backward) { query, key in query - key < 100 }
    #expect(band.bits.isEmpty && band.keyIndices.isEmpty && band.tiles.count == 10)
    #expect(band.segments.contains { $0.mask == .full })
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
