import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// What every pattern means, in numbers worked out from the published definitions and not from the code.
@Suite struct PatternMeaningTests {
  static let key = RandomKey(seed: 3)

  /// The keys of a query, with repetition.
  static func keys<V: PatternVariant>(_ variant: V, _ query: Int, head: Int = 0) -> [Int] {
    (0..<variant.shape.keyLength).flatMap { key in
      Array(repeating: key, count: variant.multiplicity(batch: 0, head: head, query: query, key: key))
    }
  }

  static func window(
    _ n: Int, causal: Bool, _ left: PerHead, _ right: PerHead, _ dilation: PerHead = 1, _ sinks: Int = 0
  )
    throws
    -> SlidingWindow
  {
    try SlidingWindow(
      .init(left: left, right: right, dilation: dilation, sinks: sinks),
      for: AttentionShape(queryLength: n, headDim: 4, isCausal: causal), key: key)
  }

  @Test("a sliding window by its published names")
  func slidingWindow() throws {
    // Hugging Face, causal, w = 8: kv > q − w.
    #expect(Self.keys(try Self.window(40, causal: true, 7, 0), 20) == Array(13...20))
    // The right side of a causal window is 0, whatever is asked.
    #expect(Self.keys(try Self.window(40, causal: true, 7, 5), 20) == Array(13...20))
    // Longformer in Hugging Face, attention_window = 8: w + 1 keys.
    #expect(Self.keys(try Self.window(40, causal: false, 4, 4), 20) == Array(16...24))
    // Long Range Arena, w = 8: [i − 3, i + 4].
    #expect(Self.keys(try Self.window(40, causal: false, 3, 4), 20) == Array(17...24))
    #expect(Self.keys(try Self.window(40, causal: false, 2, 3, 4), 20) == [12, 16, 20, 24, 28, 32])
    #expect(Self.keys(try Self.window(40, causal: true, 2, 0, 1, 3), 20) == [0, 1, 2, 18, 19, 20])
    #expect(Self.keys(try Self.window(40, causal: true, 2, 0, 1, 3), 3) == [0, 1, 2, 3])
    #expect(Self.keys(try Self.window(40, causal: false, 0, 0), 20) == [20])
  }

  @Test("a window per head, or per group of heads")
  func windowsOfHeads() throws {
    let shape = try AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 40, headDim: 4)
    let variant = try SlidingWindow(
      .init(left: .list(1, 2, 3, 0), right: .list(0, 2), dilation: .list(1, 5), sinks: 1), for: shape,
      key: Self.key)
    #expect(Self.keys(variant, 20, head: 0) == [0, 19, 20])
    #expect(Self.keys(variant, 20, head: 1) == [0, 18, 19, 20])
    #expect(Self.keys(variant, 20, head: 2) == [0, 5, 10, 15, 20, 25, 30])
    #expect(Self.keys(variant, 20, head: 3) == [0, 20, 25, 30])
    // The widest head decides what a decoder keeps: 3 steps of 5.
    #expect(variant.configuration.evictableKeys(of: 40) == 1..<25)
    // A list of one is a number, and heads that have the same window, however it is written, the same pairs.
    let one = try SlidingWindow.Configuration(settings: ["left": .list([7])])
    #expect(one.left == 7 && one.summary.hasPrefix("left=7;right=256"))
    let same = try SlidingWindow(.init(left: .list(9, 9), right: 3), for: shape, key: Self.key)
    let plain = try SlidingWindow(.init(left: 9, right: 3), for: shape, key: Self.key)
    #expect(same.cost(of: .backward) == plain.cost(of: .backward))
    #expect(same.cost(of: .forward).neededPairs == plain.cost(of: .forward).neededPairs)
    // A cell is checked at fewer heads than it has.
    let fitted = variant.configuration.fitted(
      to: try AttentionShape(queryHeads: 2, queryLength: 9, headDim: 4))
    #expect(fitted.left == .list(1, 0) && fitted.right == .list(0, 2))
  }

  @Test("local and global: one softmax over window and G, each key once")
  func localGlobal() throws {
    func make(_ causal: Bool) throws -> LocalGlobal {
      try LocalGlobal(
        .init(left: 2, right: 2, globalTokens: 1, globalPositions: [7, 20]),
        for: AttentionShape(queryLength: 30, headDim: 4, isCausal: causal), key: Self.key)
    }
    #expect(Self.keys(try make(false), 12) == [0, 7, 10, 11, 12, 13, 14, 20])
    #expect(Self.keys(try make(false), 6) == [0, 4, 5, 6, 7, 8, 20])
    #expect(Self.keys(try make(false), 7) == Array(0..<30))
    #expect(Self.keys(try make(true), 12) == [0, 7, 10, 11, 12])
    #expect(Self.keys(try make(true), 20) == Array(0...20))
  }

  @Test("a window of a grid: neighbouring rows and columns, nothing around an edge, leading positions always")
  func gridWindow() throws {
    func make(_ n: Int, causal: Bool, _ configuration: GridWindow.Configuration) throws -> GridWindow {
      try GridWindow(
        configuration, for: AttentionShape(queryLength: n, headDim: 4, isCausal: causal), key: Self.key)
    }
    // Rows of five behind one leading position: place (1, 4) is position 10.
    let window = GridWindow.Configuration(width: 5, rows: 1, columns: 1, leading: 1)
    #expect(Self.keys(try make(18, causal: false, window), 10) == [0, 4, 5, 9, 10, 14, 15])
    #expect(Self.keys(try make(18, causal: true, window), 10) == [0, 4, 5, 9, 10])
    #expect(Self.keys(try make(18, causal: false, window), 0) == Array(0..<18))
    // The last row is cut after two places.
    #expect(Self.keys(try make(18, causal: false, window), 16) == [0, 11, 12, 16, 17])
    let column = GridWindow.Configuration(width: 70, rows: 2, columns: 0)
    #expect(Self.keys(try make(300, causal: false, column), 145) == [5, 75, 145, 215, 285])
    #expect(Self.keys(try make(1, causal: false, window), 0) == [0])
  }

  @Test("chunks")
  func chunked() throws {
    func make(_ n: Int, causal: Bool, _ configuration: ChunkedAttention.Configuration) throws
      -> ChunkedAttention
    {
      try ChunkedAttention(
        configuration, for: AttentionShape(queryLength: n, headDim: 4, isCausal: causal), key: Self.key)
    }
    #expect(Self.keys(try make(30, causal: true, .init(chunk: 8)), 18) == [16, 17, 18])
    #expect(Self.keys(try make(30, causal: false, .init(chunk: 8)), 27) == [24, 25, 26, 27, 28, 29])
    #expect(Self.keys(try make(30, causal: false, .init(chunk: 8, before: 1)), 18) == Array(8..<24))
    #expect(Self.keys(try make(30, causal: false, .init(chunk: 8, overlap: 2)), 18) == Array(14..<26))
    let circle = try make(24, causal: false, .init(chunk: 8, before: 1, circular: true))
    #expect(Self.keys(circle, 3) == Array(0..<8) + Array(16..<24))
    let twice = try make(16, causal: false, .init(chunk: 8, before: 1, after: 1, circular: true))
    #expect(Self.keys(twice, 3).count == 24, "the other chunk is met on both sides")
  }

  @Test(
    "random blocks: window, globals and as many more, none twice", arguments: [false, true], UInt64(0)...4)
  func randomSparse(causal: Bool, seed: UInt64) throws {
    var configuration = RandomSparse.Configuration(blockSize: 4)
    configuration.seed = Int(seed)
    let shape = try AttentionShape(queryHeads: 3, queryLength: 62, headDim: 4, isCausal: causal)
    let variant = try RandomSparse(configuration, for: shape, key: Self.key)
    for rows in variant.visibleBlocks {
      #expect(rows.count == 16)
      #expect(rows[0] == Array(0..<16) && rows[15] == Array(0..<16))
      for row in 1..<15 {
        let fixed = Set([0, 15, row - 1, row, row + 1])
        #expect(Set(rows[row]).count == rows[row].count && fixed.isSubset(of: rows[row]))
        let random = rows[row].filter { !fixed.contains($0) }
        if causal {
          #expect(random.allSatisfy { $0 < row } && random.count == min(3, max(0, row - 2)))
        } else {
          #expect(random.count == 3)
        }
      }
      #expect(Set(rows[1]).isSuperset(of: [0, 1, 2, 15]) && Set(rows[14]).isSuperset(of: [0, 13, 14, 15]))
    }
    #expect(variant.visibleBlocks[0] != variant.visibleBlocks[1], "heads draw their own blocks")
    let again = try RandomSparse(configuration, for: shape, key: Self.key)
    #expect(again.visibleBlocks == variant.visibleBlocks)
    configuration.seed += 1
    #expect(try RandomSparse(configuration, for: shape, key: Self.key).visibleBlocks != variant.visibleBlocks)
  }

  @Test("every block is drawn about equally often")
  func uniformDraws() throws {
    var counts = [Int](repeating: 0, count: 20)
    for seed in 0..<400 {
      let variant = try RandomSparse(
        .init(blockSize: 1, randomBlocks: 2, windowBlocks: 1, globalBlocks: .none, seed: seed),
        for: AttentionShape(queryLength: 20, headDim: 4), key: Self.key)
      for block in variant.visibleBlocks[0][7] where block != 7 { counts[block] += 1 }
    }
    #expect(counts[7] == 0 && counts.reduce(0, +) == 800)
    // Mean 42, standard deviation 6.2: five of them.
    for (block, count) in counts.enumerated() where block != 7 {
      #expect(abs(count - 42) < 31, "block \(block)")
    }
  }

  @Test("google draws: from blocks 1 to 15 at 1024, 3072 and 4096 tokens; a block met twice counts twice")
  func googleDraws() throws {
    for length in [1024, 3072, 4096] {
      let variant = try RandomSparse(
        .init(blockSize: 64, draws: .google),
        for: AttentionShape(queryHeads: 4, queryLength: length, headDim: 4),
        key: Self.key)
      let count = length / 64
      var doubles = 0
      for rows in variant.visibleBlocks {
        for row in 1..<count - 1 {
          var random = rows[row]
          for fixed in [0, row - 1, row, row + 1, count - 1] {
            if let place = random.firstIndex(of: fixed) { random.remove(at: place) }
          }
          let isEdge = row == 1 || row == count - 2
          #expect(random.allSatisfy { (1...15).contains($0) }, "row \(row) of \(length): \(random)")
          #expect(random.count <= 3 && (random.count == 3 || isEdge || row < 6))
          doubles += rows[row].count - Set(rows[row]).count
        }
      }
      if length == 1024 { #expect(doubles > 0, "the published code meets the last block twice at 1024") }
    }
    // Other lengths: 2·3 + 5 blocks are the candidates, and nothing is met twice.
    let other = try RandomSparse(
      .init(blockSize: 64, draws: .google), for: AttentionShape(queryLength: 2048, headDim: 4), key: Self.key)
    for row in 1..<31 {
      let seen = other.visibleBlocks[0][row]
      #expect(Set(seen).count == seen.count)
      #expect(seen.filter { $0 > 10 && abs($0 - row) > 1 && $0 != 31 }.isEmpty)
    }
  }

  @Test("tiles of wide patterns waste little")
  func waste() throws {
    let shape = try AttentionShape(queryLength: 4096, headDim: 64)
    let causal = try AttentionShape(queryLength: 4096, headDim: 64, isCausal: true)
    let variants: [(any PatternVariant, Double)] = [
      (try FullAttention(.init(), for: shape, key: Self.key), 1.0),
      (try FullAttention(.init(), for: causal, key: Self.key), 1.02),
      (try SlidingWindow(.init(left: 256, right: 256), for: shape, key: Self.key), 1.07),
      (try SlidingWindow(.init(left: 255, right: 0, dilation: 4), for: causal, key: Self.key), 1.14),
      (try LocalGlobal(.init(left: 256, right: 256, globalTokens: 16), for: shape, key: Self.key), 1.07),
      (try RandomSparse(.init(), for: shape, key: Self.key), 1.0),
      (try ChunkedAttention(.init(chunk: 256, before: 1), for: shape, key: Self.key), 1.0),
    ]
    for (variant, allowed) in variants {
      let cost = variant.cost(of: .forward)
      let ratio = try #require(cost.paddingOverhead), needed = try #require(cost.neededPairs)
      #expect(ratio >= 1 && ratio <= allowed, "\(type(of: variant).card.id): \(ratio)")
      let backward = variant.cost(of: .backward)
      #expect(backward.neededPairs == needed && (backward.executedPairs ?? .infinity) <= 1.27 * needed)
    }
  }

  @Test("plans grow with the number of tiles, not of pairs")
  func planSize() throws {
    for id in ["full", "sliding-window", "local-global", "random-sparse", "chunked"] {
      func bytes(_ n: Int) throws -> Int {
        try Catalog.standard.make(
          id, shape: AttentionShape(queryLength: n, headDim: 8, isCausal: true), key: Self.key
        ).planBytes
      }
      let (small, large) = (try bytes(4096), try bytes(16384))
      #expect(Double(large) < 4.6 * Double(small) && large < 300_000, "\(id): \(small), \(large)")
    }
  }

  static let refused: [(String, [String: ParameterValue], String)] = [
    ("random-sparse", ["window_blocks": .int(2)], "window_blocks: 2 is not allowed; it takes an odd number"),
    (
      "local-global", ["global_positions": .list([3, 99])],
      "global_positions: 99 is not allowed; it takes positions from 0 to 63"
    ),
    (
      "chunked", ["circular": .bool(true), "overlap": .int(3)],
      "overlap: 3 is not allowed; it takes 0 when circular is true"
    ),
    ("lsh", ["buckets": .int(7)], "buckets: 7 is not allowed; it takes none or an even number"),
    (
      "lsh", ["buckets": .int(202)],
      "buckets: 202 is not allowed; it takes a multiple of 4 above factor_above (128), for its two factors are even"
    ),
    (
      "sliding-window", ["dilation": .int(0)],
      "dilation: 0 is not allowed; it takes a whole number from 1 to 1048576, or a list of them, one a head"
    ),
    (
      "sliding-window", ["left": .list([3, 4])],
      "left: [3, 4] (2 numbers) is not allowed; it takes one number, or one for each of 1 heads, or as many as divide them"
    ),
    (
      "sliding-window", ["right": .list([])],
      "right: [] is not allowed; it takes a whole number from 0 to 16777216, or a list of them, one a head"
    ),
    (
      "sliding-window", ["lefd": .int(3)],
      "lefd: an unknown parameter is not allowed; it takes left, right, dilation, sinks, score, untie, clamp_length, bias, bias_buckets, bias_distance, sink, softcap (did you mean left?)"
    ),
  ]

  @Test("settings that make no sense are refused in one line", arguments: refused)
  func refusals(_ id: String, _ settings: [String: ParameterValue], _ text: String) throws {
    let shape = try AttentionShape(queryLength: 64, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make(id, settings: settings, shape: shape, key: Self.key)
    }
    #expect(error?.description == text)
  }
}
