import AttentionCore
import Basics
import Settings
import Tensors

/// Random sparse block attention (BigBird).
///
/// Tokens are grouped in blocks of `blockSize` (the last may be partial). Global block rows see everything; any other
/// row sees the global blocks, the `windowBlocks` around itself and `randomBlocks` more. Causal keeps `j ≤ i`, and draws
/// random blocks from the past only. Patterns are frozen by `(seed, layer, head)`.
///
/// Blocks are those of a sequence's valid keys: its last block is that of its last valid key, and random blocks are drawn
/// from its own, so a sequence sees in a padded batch what it sees alone. `draws: google` is the exception: the published code
/// counts blocks on the padded length, and so does this, for comparison with it. Rows of q behind the last block see the
/// global blocks, what there is of their window, and random blocks.
/// - Complexity: O(n·(globals + windowBlocks + randomBlocks)·blockSize·d) time, O(n·d) memory.
/// - Source: Zaheer et al., 2020; `draws: google` follows the published code (`google-research/bigbird`).
public struct RandomSparse: PatternVariant {
  /// Which block rows and columns are global.
  public enum GlobalBlocks: String, CaseIterable, Sendable {
    /// Block 0 and the last block.
    case firstAndLast = "first-and-last"
    /// Block 0.
    case first
    /// None.
    case none
  }

  /// How random blocks are drawn.
  public enum Draws: String, CaseIterable, Sendable {
    /// Without replacement from the blocks not already seen, as the paper says.
    case uniform
    /// As the published code does: from a short prefix, and what is met twice counts twice.
    case google
  }

  /// The blocks.
  public struct Configuration: VariantConfiguration {
    /// Tokens in a block.
    public var blockSize = 64
    /// Random blocks a block row.
    public var randomBlocks = 3
    /// Blocks of the window, the own one in the middle.
    public var windowBlocks = 3
    /// Which block rows and columns are global.
    public var globalBlocks = GlobalBlocks.firstAndLast
    /// How random blocks are drawn.
    public var draws = Draws.uniform
    /// Names the pattern.
    public var seed = 0

    /// The defaults.
    public init() {}

    /// Creates blocks.
    public init(
      blockSize: Int, randomBlocks: Int = 3, windowBlocks: Int = 3,
      globalBlocks: GlobalBlocks = .firstAndLast,
      draws: Draws = .uniform, seed: Int = 0
    ) {
      self.blockSize = blockSize
      self.randomBlocks = randomBlocks
      self.windowBlocks = windowBlocks
      self.globalBlocks = globalBlocks
      self.draws = draws
      self.seed = seed
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("block_size", \.blockSize, in: 1...(1 << 24), unit: "tokens", help: "Tokens in a block"),
      .integer(
        "random_blocks", \.randomBlocks, in: 0...4096, unit: "blocks",
        help: "Random blocks that a block row sees"),
      .integer(
        "window_blocks", \.windowBlocks, in: 1...4095, unit: "blocks",
        help: "Blocks of the window, an odd number: the own block is in the middle"),
      .choice("global_blocks", \.globalBlocks, help: "Blocks that see, and are seen by, all"),
      .choice(
        "draws", \.draws, help: "uniform: as in the paper, each block once; google: as in the published code"),
      .integer("seed", \.seed, help: "Names the pattern; the same seed draws the same blocks"),
    ]

    /// Blocks that matter at a few hundred tokens.
    public static let samples = [
      Configuration(blockSize: 16, randomBlocks: 2),
      Configuration(blockSize: 24, randomBlocks: 1, globalBlocks: .first),
      Configuration(blockSize: 8, randomBlocks: 3, windowBlocks: 1, globalBlocks: .none, seed: 5),
      Configuration(blockSize: 100, randomBlocks: 1, windowBlocks: 1),
    ]

    /// The window has a middle; the published draws exist for its own settings only.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      if windowBlocks % 2 == 0 {
        throw ConfigurationError(field: "window_blocks", value: "\(windowBlocks)", allowed: "an odd number")
      }
      guard draws == .google else { return }
      let length = shape.queryLength
      let fits =
        windowBlocks == 3 && globalBlocks == .firstAndLast && !shape.isCausal && shape.keyLength == length
        && length % blockSize == 0 && length / blockSize > 4
      guard fits else {
        throw ConfigurationError(
          field: "draws", value: "google",
          allowed:
            "uniform unless window_blocks is 3, global_blocks first-and-last, the shape not causal, q and k equally "
            + "long, and the length a multiple of block_size with 5 blocks or more")
      }
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "random-sparse", title: "Random sparse blocks",
    paper: "Zaheer et al., 2020, Big Bird: Transformers for Longer Sequences",
    idea: "Blocks of tokens see global blocks, their neighbours and a few random blocks.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  ⌊j/b⌋ ∈ global ∪ window(⌊i/b⌋) ∪ random(⌊i/b⌋)")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  /// The tiles of every head.
  public let pattern: TilePattern
  /// `[head][block row]`: the blocks that it sees, sorted; a block that counts twice is there twice. Of the first sequence.
  public var visibleBlocks: [[[Int]]] { visibleBlocks(batch: 0) }
  /// The blocks by the number of valid keys; a pattern that is found in a cache needs none.
  private let drawn: [Int: Once<[[[Int]]]>]

  /// Draws the patterns of all heads and plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// The same, with the patterns that other variants of one owner have, too.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    let heads = key("random-sparse")(configuration.seed)
    let isPadded = configuration.draws == .uniform
    let counts = isPadded ? shape.validKeyCounts : [shape.keyLength]
    let blocks = Dictionary(
      counts.map { valid in
        let draw = Once {
          (0..<shape.queryHeads).map {
            RandomSparseBlocks(configuration, shape, validKeys: valid, key: heads($0)).visible
          }
        }
        return (valid, draw)
      }, uniquingKeysWith: { first, _ in first })
    drawn = blocks
    pattern = shape.patternBySequence(where: isPadded) { valid in
      let key = PatternCache.Key(
        RandomSparse.self, configuration, shape: shape, validKeys: valid, drawnFrom: heads)
      return patterns.pattern(key) {
        TilePattern(
          perHead: (blocks[valid]?.value ?? []).map { RandomSparse.tiles(configuration, shape, $0, valid) })
      }
    }
  }

  /// The published draws count blocks on the padded length.
  public var padding: PaddingPromise {
    configuration.draws == .uniform
      ? .strict : .contentOnly("draws=google counts blocks on the padded length, as the published code does")
  }

  /// `[head][block row]` of a sequence.
  func visibleBlocks(batch: Int) -> [[[Int]]] {
    let valid = configuration.draws == .uniform ? shape.validKeys(batch: batch) : shape.keyLength
    return drawn[valid]?.value ?? []
  }

  private static func tiles(
    _ configuration: Configuration, _ shape: AttentionShape, _ visible: [[Int]], _ validKeys: Int
  ) -> TileList {
    let size = configuration.blockSize
    var list = TileList()
    let tilesPerBlock = (size + TileList.lanes - 1) / TileList.lanes
    list.reserve(
      tiles: visible.count * tilesPerBlock,
      segments: visible.count * tilesPerBlock * (configuration.windowBlocks + configuration.randomBlocks + 2))
    // Two arrays serve all block rows: small arrays of their own would take most of the time.
    var open: [TileList.Segment] = []
    var cut: [TileList.Segment] = []
    for (block, seen) in visible.enumerated() {
      let begin = max(0, block * size - shape.queryOffset)
      let end = min(shape.queryLength, (block + 1) * size - shape.queryOffset)
      guard begin < end else { continue }
      open.removeAll(keepingCapacity: true)
      RandomSparse.addRuns(of: seen, size: size, keyLength: shape.keyLength, to: &open)
      for rows in shape.rowTiles(of: begin..<end, cutAt: validKeys) {
        let (first, count) = (rows.lowerBound, rows.count)
        guard shape.isCausal else {
          list.addTile(start: first, count: count, segments: open)
          continue
        }
        let position = first + shape.queryOffset
        cut.removeAll(keepingCapacity: true)
        for run in open {
          BandSegments.causal.addSegments(
            first: position, last: position + count - 1, keys: Int(run.start)..<Int(run.start + run.count),
            to: &cut)
        }
        list.addTile(start: first, count: count, segments: cut)
      }
    }
    return list
  }

  /// Adds the keys of sorted blocks, neighbours joined; a block met again starts a run of its own.
  static func addRuns(of sorted: [Int], size: Int, keyLength: Int, to segments: inout [TileList.Segment]) {
    var again: [Int] = []
    var run = 0..<0
    func close(_ segments: inout [TileList.Segment]) {
      let (start, end) = (min(run.lowerBound * size, keyLength), min(run.upperBound * size, keyLength))
      if start < end { segments.append(TileList.Segment(start: start, count: end - start)) }
    }
    for (place, block) in sorted.enumerated() {
      if place > 0, sorted[place - 1] == block {
        again.append(block)
      } else if run.upperBound == block, !run.isEmpty {
        run = run.lowerBound..<block + 1
      } else {
        close(&segments)
        run = block..<block + 1
      }
    }
    close(&segments)
    if !again.isEmpty { addRuns(of: again, size: size, keyLength: keyLength, to: &segments) }
  }

  /// How often the query's block row sees the key's block; causal cuts at the query.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let position = query + shape.queryOffset
    if position < 0 || shape.isFuture(query: query, key: key) { return 0 }
    let row = visibleBlocks(batch: batch)[head][position / configuration.blockSize]
    return row.count { $0 == key / configuration.blockSize }
  }
}
