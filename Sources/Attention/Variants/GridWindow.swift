import AttentionCore
import Basics
import Settings
import Tensors

/// A window of a grid: a query sees the keys of neighbouring rows and columns of an image.
///
/// Behind `leading` positions that see all and are seen by all (a class token), the position `leading + r·width + c` is the place
/// (r, c) of a grid. It sees (r', c') where `|r − r'| ≤ rows` and `|c − c'| ≤ columns`; each once. The last row of the grid may be
/// cut. A causal shape keeps `j ≤ i`: the image in reading order.
/// - Complexity: O(n·((2·rows + 1)·(2·columns + 1) + leading)·d) time, O(n·d) memory; narrow grids mask more than they use.
/// - Source: Parmar et al., 2018, Image Transformer (two-dimensional local attention); Ramachandran et al., 2019.
public struct GridWindow: PatternVariant {
  /// The grid and the window.
  public struct Configuration: VariantConfiguration {
    /// Places of a row of the grid.
    public var width = 16
    /// Rows of the window above and below the query.
    public var rows = 3
    /// Columns of the window on either side of the query.
    public var columns = 3
    /// Positions before the grid.
    public var leading = 0

    /// The defaults.
    public init() {}

    /// Creates a window.
    public init(width: Int, rows: Int, columns: Int, leading: Int = 0) {
      (self.width, self.rows, self.columns, self.leading) = (width, rows, columns, leading)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("width", \.width, in: 1...(1 << 20), unit: "tokens", help: "Places of a row of the grid"),
      .integer(
        "rows", \.rows, in: 0...(1 << 20), unit: "rows", help: "Rows of the window above and below the query"),
      .integer(
        "columns", \.columns, in: 0...(1 << 20), unit: "columns",
        help: "Columns of the window on either side of the query"),
      .integer(
        "leading", \.leading, in: 0...(1 << 20), unit: "tokens",
        help: "Positions before the grid that see all and are seen by all, such as a class token"),
    ]

    /// Windows that matter at a few hundred tokens.
    public static let samples = [
      Configuration(width: 8, rows: 1, columns: 2, leading: 1), Configuration(width: 5, rows: 0, columns: 1),
      Configuration(width: 100, rows: 1, columns: 40, leading: 3),
      Configuration(width: 64, rows: 2, columns: 0), Configuration(width: 1, rows: 3, columns: 0),
    ]

    /// The grid that the positions are places of.
    public var gridRows: GridRows? { GridRows(width: width, leading: leading) }

    /// Keys of the grid that are above the window of the next query, and those of its first row to the left of it.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      let place = max(0, count - leading), (row, column) = place.quotientAndRemainder(dividingBy: width)
      let first = row < rows ? 0 : (row - rows) * width + max(0, column - columns)
      let start = min(leading, count)
      return start..<max(start, min(count, leading + first))
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "window-2d", title: "Window of a grid",
    paper: "Parmar et al., 2018, Image Transformer; Ramachandran et al., 2019, Stand-alone self-attention",
    idea: "A query sees the keys of neighbouring rows and columns of an image, and a few leading tokens.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  |rowᵢ − rowⱼ| ≤ rows, |colᵢ − colⱼ| ≤ columns")

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
    (self.configuration, self.shape) = (configuration, shape)
    pattern = patterns.pattern(.init(GridWindow.self, configuration, shape: shape)) {
      TilePattern(shared: GridWindowTiles(configuration, shape).list())
    }
  }

  /// 1 inside the window, and where one of the two is a leading position.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let position = query + shape.queryOffset
    if position < 0 || shape.isFuture(query: query, key: key) { return 0 }
    let leading = configuration.leading, width = configuration.width
    if position < leading || key < leading { return 1 }
    let own = position - leading, other = key - leading
    let isNear =
      abs(own / width - other / width) <= configuration.rows
      && abs(own % width - other % width) <= configuration.columns
    return isNear ? 1 : 0
  }
}

/// The tiles of a window of a grid.
///
/// A tile inside one row of the grid sees a band of every row of keys. Where several rows of the grid fit in a tile, it holds whole
/// rows, and one run of keys with a mask word each.
/// - Complexity: O(n·rows·(1 + width/64)) in tiles of one row, O(n·(rows + 64/width)·width/64) words in others.
private struct GridWindowTiles {
  let configuration: GridWindow.Configuration
  let shape: AttentionShape

  init(_ configuration: GridWindow.Configuration, _ shape: AttentionShape) {
    (self.configuration, self.shape) = (configuration, shape)
  }

  private var leading: Int { configuration.leading }
  private var width: Int { configuration.width }
  /// Positions of the rows' end.
  private var end: Int { shape.queryLength + shape.queryOffset }

  func list() -> TileList {
    var list = TileList()
    // Rows before the first key, of a causal shape with more queries than keys, see nothing.
    add(min(0, shape.queryOffset)..<min(0, end), to: &list) { _, _ in [] }
    add(max(0, shape.queryOffset)..<max(0, shape.queryOffset, min(leading, end)), to: &list) { rows, _ in
      let keys = 0..<shape.keyLength
      return shape.isCausal
        ? BandSegments.causal.segments(first: rows.lowerBound, last: rows.upperBound - 1, keys: keys)
        : [TileList.Segment(start: 0, count: keys.count)]
    }
    var position = max(leading, shape.queryOffset)
    let perTile = TileList.lanes / width
    while position < end {
      let row = (position - leading) / width
      let next = leading + (perTile < 2 ? row + 1 : (row / perTile + 1) * perTile) * width
      let isWithinRow = perTile < 2
      add(position..<min(next, end), to: &list) { rows, list in
        let own = isWithinRow ? bands(of: rows, row: row) : masks(of: rows, &list)
        return leadingKeys + own
      }
      position = next
    }
    return list
  }

  /// Tiles of up to 64 neighbouring positions.
  private func add(
    _ positions: Range<Int>, to list: inout TileList,
    segments: (Range<Int>, inout TileList) -> [TileList.Segment]
  ) {
    for first in stride(from: positions.lowerBound, to: positions.upperBound, by: TileList.lanes) {
      let rows = first..<min(first + TileList.lanes, positions.upperBound)
      let own = segments(rows, &list)
      list.addTile(start: first - shape.queryOffset, count: rows.count, segments: own)
    }
  }

  /// Every place of the grid sees them.
  private var leadingKeys: [TileList.Segment] {
    let count = min(leading, shape.keyLength)
    return count == 0 ? [] : [TileList.Segment(start: 0, count: count)]
  }

  /// The rows of the grid that places of some rows see keys of, and those of them that there are.
  private func keyRows(_ first: Int, _ last: Int) -> Range<Int> {
    let count = (max(0, shape.keyLength - leading) + width - 1) / width
    let low = max(0, first - configuration.rows)
    return low..<max(low, min(count, last + configuration.rows + 1))
  }

  /// The positions of a row of the grid.
  private func keys(of row: Int) -> Range<Int> {
    let first = leading + row * width
    return first..<max(first, min(shape.keyLength, first + width))
  }

  private func bands(of rows: Range<Int>, row: Int) -> [TileList.Segment] {
    keyRows(row, row).flatMap { other -> [TileList.Segment] in
      let distance = (row - other) * width
      let low = distance - configuration.columns
      // A causal shape has no key behind the query.
      if shape.isCausal && distance < 0 { return [] }
      let band = BandSegments(
        low: shape.isCausal ? max(0, low) : low, high: distance + configuration.columns)
      return band.segments(first: rows.lowerBound, last: rows.upperBound - 1, keys: keys(of: other))
    }
  }

  private func masks(of rows: Range<Int>, _ list: inout TileList) -> [TileList.Segment] {
    let seen = keyRows((rows.lowerBound - leading) / width, (rows.upperBound - 1 - leading) / width)
    guard let first = seen.first, let last = seen.last else { return [] }
    var end = keys(of: last).upperBound
    if shape.isCausal { end = min(end, rows.upperBound) }
    let begin = keys(of: first).lowerBound
    guard begin < end else { return [] }
    let words = (begin..<end).map { key -> UInt64 in
      let place = key - leading
      var word: UInt64 = 0
      for (lane, position) in rows.enumerated() {
        let own = position - leading
        let isNear =
          abs(own / width - place / width) <= configuration.rows
          && abs(own % width - place % width) <= configuration.columns
        if isNear && !(shape.isCausal && key > position) { word |= 1 << UInt64(lane) }
      }
      return word
    }
    let all = UInt64.max >> UInt64(64 - rows.count)
    let mask = words.allSatisfy { $0 == all } ? TileList.Mask.full : list.bitMask(words)
    return [TileList.Segment(start: begin, count: end - begin, mask: mask)]
  }
}
