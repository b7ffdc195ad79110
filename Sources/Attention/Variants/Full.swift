import AttentionCore
import Basics
import Settings
import Tensors

/// Full attention, streamed over key tiles: never stores an n×n matrix.
///
/// `o_i = Σ_j softmax_j(scale · q_i·k_j) v_j` over all keys, or all `j ≤ i`.
/// - Complexity: O(n²·d) time, O(n·d) memory.
/// - Source: Vaswani et al., 2017; the streaming softmax is Milakov and Gimelshein, 2018, and Dao et al., 2022.
public struct FullAttention: PatternVariant {
  /// No parameters.
  public struct Configuration: VariantConfiguration {
    /// The only configuration.
    public init() {}
    /// None.
    public static let parameters: [Parameter<Self>] = []
    /// None: every later query sees every key.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// A query sees what is not behind it.
    public var goesByDistance: Bool { true }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "full", title: "Full attention (streaming)",
    paper: "Vaswani et al., 2017, Attention Is All You Need; Dao et al., 2022, FlashAttention",
    idea: "Every query sees every key; scores are streamed tile by tile and never stored.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ")

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
    self.configuration = configuration
    self.shape = shape
    pattern = TilePattern(shared: FullAttention.tiles(of: shape))
  }

  /// The tiles of full attention for a shape.
  /// - Complexity: O(queryLength / 64).
  static func tiles(of shape: AttentionShape) -> TileList {
    var list = TileList()
    let allKeys = 0..<shape.keyLength
    for rows in shape.rowTiles(of: 0..<shape.queryLength) {
      let first = rows.lowerBound + shape.queryOffset
      let segments =
        shape.isCausal
        ? BandSegments.causal.segments(first: first, last: first + rows.count - 1, keys: allKeys)
        : [TileList.Segment(start: 0, count: shape.keyLength)]
      list.addTile(start: rows.lowerBound, count: rows.count, segments: segments)
    }
    return list
  }

  /// 1 for every key, or for every key up to the query.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    shape.isCausal && key > query + shape.queryOffset ? 0 : 1
  }
}
