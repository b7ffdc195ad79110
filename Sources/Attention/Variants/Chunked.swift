import AttentionCore
import Basics
import Settings
import Tensors

/// Attention inside chunks, with optional neighbours.
///
/// A query of chunk `c = ⌊i/chunk⌋` sees the keys of the chunks `c − before … c + after`, and `overlap` tokens more on
/// either side of that range. Causal keeps `j ≤ i`. With `circular`, chunk 0 follows the last one, and a chunk that is
/// met twice on the way round counts twice, as in Reformer's local attention. The last chunk is that of the last valid key:
/// a circle closes behind the sequence, not behind its padding (the original has no padding).
/// - Complexity: O(n·chunk·(1 + before + after)·d) time, O(n·d) memory.
/// - Source: Kitaev et al., 2020 (Reformer, local); Llama 4 (2025) for the plain causal form.
public struct ChunkedAttention: PatternVariant {
  /// The chunk and its neighbours.
  public struct Configuration: VariantConfiguration {
    /// Tokens in a chunk.
    public var chunk = 256
    /// Chunks before the query's own that it sees.
    public var before = 0
    /// Chunks after the query's own that it sees.
    public var after = 0
    /// Tokens seen beyond the visible chunks, on both sides.
    public var overlap = 0
    /// Whether chunk 0 follows the last chunk.
    public var circular = false

    /// The defaults.
    public init() {}

    /// Creates chunks.
    public init(chunk: Int, before: Int = 0, after: Int = 0, overlap: Int = 0, circular: Bool = false) {
      self.chunk = chunk
      self.before = before
      self.after = after
      self.overlap = overlap
      self.circular = circular
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("chunk", \.chunk, in: 1...(1 << 24), unit: "tokens", help: "Tokens in a chunk"),
      .integer(
        "before", \.before, in: 0...4096, unit: "chunks", help: "Chunks before the query's own that it sees"),
      .integer(
        "after", \.after, in: 0...4096, unit: "chunks", help: "Chunks after the query's own that it sees"),
      .integer(
        "overlap", \.overlap, in: 0...(1 << 24), unit: "tokens",
        help: "Tokens seen beyond the visible chunks, on both sides"),
      .flag("circular", \.circular, help: "Chunk 0 follows the last chunk"),
    ]

    /// Chunks that matter at a few hundred tokens.
    public static let samples = [
      Configuration(chunk: 32), Configuration(chunk: 100, before: 1),
      Configuration(chunk: 24, after: 1, overlap: 5),
      Configuration(chunk: 16, before: 1, after: 1, circular: true),
    ]

    /// Whole chunks before the first that the next query sees; in a circle every key moves with the length.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      if circular { return nil }
      let start = (count / chunk - before) * chunk - overlap
      return 0..<max(0, start) / chunk * chunk
    }

    /// A circle has no ends to overlap.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      if circular && overlap > 0 {
        throw ConfigurationError(field: "overlap", value: "\(overlap)", allowed: "0 when circular is true")
      }
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "chunked", title: "Chunked",
    paper: "Kitaev et al., 2020, Reformer (local attention); Llama 4, 2025 (chunked attention)",
    idea: "Blocks of tokens attend within themselves and, if asked, to neighbouring blocks.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  ⌊i/chunk⌋ − before ≤ ⌊j/chunk⌋ ≤ ⌊i/chunk⌋ + after")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  /// The tiles.
  public let pattern: TilePattern

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// Plans for a shape, with the patterns that other variants of one owner have, too.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    let isCircular = configuration.circular
    pattern = shape.patternBySequence(where: isCircular) { valid in
      let key = PatternCache.Key(
        ChunkedAttention.self, configuration, shape: shape, validKeys: isCircular ? valid : nil)
      return patterns.pattern(key) {
        TilePattern(shared: ChunkedAttention.tiles(configuration, shape, validKeys: valid))
      }
    }
  }

  private static func tiles(_ configuration: Configuration, _ shape: AttentionShape, validKeys: Int)
    -> TileList
  {
    let size = configuration.chunk
    var list = TileList()
    var row = 0
    while row < shape.queryLength {
      let position = row + shape.queryOffset
      // Rows before the first key (more queries than keys) see nothing; their chunk is that of position 0.
      let chunk = max(0, position) / size
      let chunkEnd = min(shape.queryLength, (chunk + 1) * size - shape.queryOffset)
      let ranges = keyRanges(of: chunk, configuration, shape, validKeys: validKeys)
      for rows in shape.rowTiles(of: row..<chunkEnd, cutAt: validKeys) {
        let first = rows.lowerBound + shape.queryOffset
        let segments = ranges.flatMap { keys in
          shape.isCausal
            ? BandSegments.causal.segments(first: first, last: first + rows.count - 1, keys: keys)
            : [TileList.Segment(start: keys.lowerBound, count: keys.count)]
        }
        list.addTile(start: rows.lowerBound, count: rows.count, segments: segments)
      }
      row = chunkEnd
    }
    return list
  }

  /// The keys that a chunk sees: one range, or one a neighbour on a circle.
  private static func keyRanges(
    of chunk: Int, _ configuration: Configuration, _ shape: AttentionShape, validKeys: Int
  ) -> [Range<Int>] {
    let size = configuration.chunk
    func clipped(_ low: Int, _ high: Int) -> Range<Int> {
      let low = min(max(0, low), shape.keyLength)
      return low..<max(low, min(high, shape.keyLength))
    }
    guard configuration.circular else {
      return [
        clipped(
          (chunk - configuration.before) * size - configuration.overlap,
          (chunk + configuration.after + 1) * size + configuration.overlap)
      ]
    }
    let count = chunkCount(size, validKeys: validKeys)
    return (-configuration.before...configuration.after).map { offset in
      let neighbour = ((chunk + offset) % count + count) % count
      return clipped(neighbour * size, (neighbour + 1) * size)
    }
  }

  /// The chunks of a circle.
  private static func chunkCount(_ size: Int, validKeys: Int) -> Int { max(1, (validKeys + size - 1) / size) }

  /// 1 in a visible chunk; on a circle, the number of times that the chunk is met.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let position = query + shape.queryOffset
    if position < 0 || shape.isFuture(query: query, key: key) { return 0 }
    let (size, before, after) = (configuration.chunk, configuration.before, configuration.after)
    let own = position / size
    if configuration.circular {
      let count = ChunkedAttention.chunkCount(size, validKeys: shape.validKeys(batch: batch))
      // Behind the last chunk of the circle there is only padding.
      if key / size >= count { return 0 }
      return (-before...after).count { offset in (own + offset - key / size) % count == 0 }
    }
    let begin = (own - before) * size - configuration.overlap
    let end = (own + after + 1) * size + configuration.overlap
    return key >= begin && key < end ? 1 : 0
  }
}
