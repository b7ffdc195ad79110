import AttentionCore
import Basics
import Settings
import Tensors

/// Sliding-window attention with dilation and attention sinks, of one width or of one a head.
///
/// Row `i` sees the keys `j` with `−left·dilation ≤ j − i ≤ right·dilation` and `(j − i) mod dilation = 0`, and the first
/// `sinks` keys; each once. Causal sets `right = 0` and cuts the sinks at `j ≤ i`. `left`, `right` and `dilation` may differ from
/// head to head: several scales at once.
/// - Complexity: O(n·(left + right + sinks)·d) time, O(n·d) memory.
/// - Source: Beltagy et al., 2020 (Longformer); sinks: Xiao et al., 2023 (StreamingLLM).
public struct SlidingWindow: PatternVariant {
  /// The window; what other codes call "window w" is translated in the documentation.
  public struct Configuration: VariantConfiguration {
    /// Keys before the query.
    public var left: PerHead = 256
    /// Keys after the query; 0 in a causal shape.
    public var right: PerHead = 256
    /// The distance between the keys of the window.
    public var dilation: PerHead = 1
    /// The first keys of the sequence, which every query sees.
    public var sinks = 0

    /// The defaults.
    public init() {}

    /// Creates windows.
    public init(left: PerHead, right: PerHead, dilation: PerHead = 1, sinks: Int = 0) {
      self.left = left
      self.right = right
      self.dilation = dilation
      self.sinks = sinks
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .perHead(
        "left", \.left, in: 0...(1 << 24), unit: "keys",
        help: "Keys of the window before the query, at distance dilation"),
      .perHead(
        "right", \.right, in: 0...(1 << 24), unit: "keys",
        help: "Keys of the window after the query; 0 when causal"),
      .perHead(
        "dilation", \.dilation, in: 1...(1 << 20), unit: "tokens",
        help: "Distance between the keys of the window"),
      .integer(
        "sinks", \.sinks, in: 0...(1 << 24), unit: "keys",
        help: "First keys of the sequence that every query sees"),
    ]

    /// Whether all heads have the same window.
    var isShared: Bool { left.isShared && right.isShared && dilation.isShared }

    /// The window of a head.
    func window(of head: Int, _ shape: AttentionShape) -> HeadWindow {
      let heads = shape.queryHeads
      return HeadWindow(
        left: left.value(head: head, of: heads),
        right: shape.isCausal ? 0 : right.value(head: head, of: heads),
        dilation: dilation.value(head: head, of: heads))
    }

    /// Every number serves as many heads.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      for (field, numbers) in [("left", left), ("right", right), ("dilation", dilation)] {
        try numbers.validate(field, heads: shape.queryHeads)
      }
    }

    /// Windows for fewer heads.
    public func fitted(to shape: AttentionShape) -> Configuration {
      var fitted = self
      fitted.left = left.fitted(to: shape.queryHeads)
      fitted.right = right.fitted(to: shape.queryHeads)
      fitted.dilation = dilation.fitted(to: shape.queryHeads)
      return fitted
    }

    /// How far a head reaches back at most. Lists of different lengths meet at every number that divides both.
    private var reach: Int {
      let heads = left.values.count * dilation.values.count
      return (0..<heads).reduce(0) {
        max($0, left.value(head: $1, of: heads) * dilation.value(head: $1, of: heads))
      }
    }

    /// Those between the sinks and the widest head's window: the next query, at position `count`, reaches back left·dilation.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      let first = min(sinks, count)
      return first..<max(first, count - reach)
    }

    /// Sinks are the first keys of a sequence; a window goes by distance.
    public var goesByDistance: Bool { sinks == 0 }

    /// Windows that matter at a few hundred tokens.
    public static let samples = [
      Configuration(left: 16, right: 8), Configuration(left: 70, right: 0, sinks: 3),
      Configuration(left: 5, right: 5, dilation: 3, sinks: 1), Configuration(left: 0, right: 0),
      Configuration(left: .list(3, 20), right: .list(7, 0), dilation: .list(2, 1), sinks: 1),
    ]
  }

  /// The window of one head; `right` is 0 in a causal shape.
  struct HeadWindow: Hashable {
    let left: Int, right: Int, dilation: Int

    var band: BandSegments {
      BandSegments(low: -right * dilation, high: left * dilation, stride: dilation)
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "sliding-window", title: "Sliding window",
    paper: "Beltagy et al., 2020, Longformer; Xiao et al., 2023, StreamingLLM (sinks)",
    idea: "A query sees its neighbours, optionally dilated, and a few first tokens.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  −left·dil ≤ j−i ≤ right·dil, dil | j−i  or  j < sinks")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  /// The tiles.
  public let pattern: TilePattern
  private let higherTiles: Once<TilePattern>

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
    pattern = SlidingWindow.pattern(configuration, shape, .forward, patterns)
    higherTiles = Once { SlidingWindow.pattern(configuration, shape, .backward, patterns) }
  }

  /// The same pairs in higher tiles.
  public var backwardPattern: TilePattern { higherTiles.value }

  /// Bytes of the tile lists and schedules of the passes that were planned.
  public var planBytes: Int { pattern.planBytes + (higherTiles.valueIfMade?.planBytes ?? 0) }

  private static func pattern(
    _ configuration: Configuration, _ shape: AttentionShape, _ pass: PassKind, _ patterns: PatternCache?
  ) -> TilePattern {
    let sinks = min(configuration.sinks, shape.keyLength)
    let first = configuration.window(of: 0, shape)
    if configuration.isShared {
      let rows = first.band.tileRows(pass)
      return patterns.pattern(.init(SlidingWindow.self, configuration, shape: shape, part: "\(rows) rows")) {
        TilePattern(shared: tiles(first, sinks, shape, tileRows: rows))
      }
    }
    let part = "\(shape.queryHeads) heads, \(pass)"
    return patterns.pattern(.init(SlidingWindow.self, configuration, shape: shape, part: part)) {
      var made: [HeadWindow: TileList] = [:]
      let lists = (0..<shape.queryHeads).map { head in
        let window = configuration.window(of: head, shape)
        let list = made[window] ?? tiles(window, sinks, shape, tileRows: window.band.tileRows(pass))
        made[window] = list
        return list
      }
      return TilePattern(perHead: lists)
    }
  }

  /// Rows of one residue modulo the dilation share a tile, and so do their keys: a dense band. The tiles of all residues
  /// at one place follow one another, since they read neighbouring rows.
  private static func tiles(
    _ window: HeadWindow, _ sinks: Int, _ shape: AttentionShape, tileRows: Int
  ) -> TileList {
    let band = window.band, dilation = window.dilation
    var list = TileList()
    let count = (shape.queryLength + tileRows - 1) / tileRows
    list.reserve(tiles: count, segments: 3 * count)
    var segments: [TileList.Segment] = []
    let residues = min(dilation, shape.queryLength)
    let longest = (shape.queryLength + dilation - 1) / dilation
    for place in stride(from: 0, to: longest, by: tileRows) {
      for residue in 0..<residues {
        let rowCount = (shape.queryLength - residue + dilation - 1) / dilation
        let count = min(tileRows, rowCount - place)
        guard count > 0 else { continue }
        let start = residue + place * dilation
        let first = start + shape.queryOffset
        let last = first + (count - 1) * dilation
        segments.removeAll(keepingCapacity: true)
        band.addSegments(
          first: first, last: last, keys: sinks..<max(sinks, shape.keyLength), to: &segments)
        if sinks > 0 && shape.isCausal {
          BandSegments.causal.addSegments(first: first, last: last, keys: 0..<sinks, to: &segments)
        } else if sinks > 0 {
          segments.append(TileList.Segment(start: 0, count: sinks))
        }
        list.addTile(start: start, count: count, stride: dilation, segments: segments)
      }
    }
    return list
  }

  /// 1 inside the window or among the sinks.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let position = query + shape.queryOffset
    if shape.isCausal && key > position { return 0 }
    if key < configuration.sinks { return 1 }
    let window = configuration.window(of: head, shape)
    let distance = key - position
    let isInside =
      distance % window.dilation == 0 && distance >= -window.left * window.dilation
      && distance <= window.right * window.dilation
    return isInside ? 1 : 0
  }
}
