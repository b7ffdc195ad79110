import AttentionCore
import Tensors

/// How the layout of a pattern is found: from its tiles, whatever variant they are of.
extension SequenceLayout {
  /// The layouts of queries and keys.
  ///
  /// Contiguous runs, with borders moved, by up to a quarter of a run, to where no key is seen across them (borders of chunks), if
  /// there is such a place. Zigzag, where queries and keys are one sequence and the rank with the most pairs
  /// then has less than 5/6 of what it has with contiguous runs: where rows see all that is before them.
  /// - Complexity: O(ranks · (tiles + segments)).
  public static func fitting(
    _ pattern: TilePattern, _ shape: AttentionShape, ranks: Int
  ) -> (queries: SequenceLayout, keys: SequenceLayout) {
    guard shape.queryLength == shape.keyLength else {
      return (contiguous(shape.queryLength, ranks: ranks), contiguous(shape.keyLength, ranks: ranks))
    }
    let length = shape.queryLength
    let spans = RowSpans(pattern)
    let runs = SequenceLayout(length: length, borders: spans.borders(of: length, ranks: ranks))
    let zigzag = zigzag(length, ranks: ranks)
    let isBetter = 6 * spans.mostPairs(zigzag) < 5 * spans.mostPairs(runs)
    let best = isBetter ? zigzag : runs
    return (best, best)
  }
}

/// The rows of every tile with the keys from the first to the last that they meet, and how many pairs those are.
private struct RowSpans {
  private struct Span {
    var rows: Range<Int>, keys: Range<Int>
    var pairs: Double
  }
  private var spans: [Span] = []

  init(_ pattern: TilePattern) {
    for list in pattern.lists {
      for tile in list.tiles where tile.segmentCount > 0 {
        let rows = list.rows(of: tile)
        guard let first = rows.min(), let last = rows.max() else { continue }
        var low = Int.max, high = Int.min, pairs = 0.0
        for segment in list.segments(of: tile) {
          let keys = segment.stride == 0 ? list.keys(of: segment) : []
          let start = keys.min() ?? Int(segment.start)
          low = min(low, start)
          high = max(high, keys.max() ?? start + (Int(segment.count) - 1) * Int(segment.stride))
          pairs += Double(segment.count) * Double(rows.count)
        }
        spans.append(Span(rows: first..<last + 1, keys: low..<high + 1, pairs: pairs))
      }
    }
  }

  /// The pairs of the rank that has the most: a tile's are spread evenly over its rows.
  func mostPairs(_ layout: SequenceLayout) -> Double {
    layout.rows.map { own in
      spans.reduce(0.0) { sum, span in
        let inside = own.count(before: span.rows.upperBound) - own.count(before: span.rows.lowerBound)
        return sum + span.pairs * Double(inside) / Double(span.rows.count)
      }
    }.max() ?? 0
  }

  func borders(of length: Int, ranks: Int) -> [Int] {
    let crossings = Crossings(
      rowEnds: spans.map { ($0.rows.upperBound, $0.keys.lowerBound) },
      rowStarts: spans.map { ($0.rows.lowerBound, $0.keys.upperBound) })
    return (1..<max(1, ranks)).map { number in
      let ideal = length * number / ranks, slack = length / (4 * ranks)
      let places = spans.map(\.rows.lowerBound).filter { abs($0 - ideal) <= slack && crossings.isFree($0) }
      return places.min { abs($0 - ideal) < abs($1 - ideal) } ?? ideal
    }
  }
}

/// How far rows see across a border.
private struct Crossings {
  /// Ends of rows, rising, with the first key of all rows that end there or later.
  private var ends: [(row: Int, key: Int)]
  /// Starts of rows, rising, with the last key of all rows that start there or earlier.
  private var starts: [(row: Int, key: Int)]

  init(rowEnds: [(Int, Int)], rowStarts: [(Int, Int)]) {
    ends = rowEnds.sorted { $0.0 < $1.0 }.map { (row: $0.0, key: $0.1) }
    for index in ends.indices.dropLast().reversed() {
      ends[index].key = min(ends[index].key, ends[index + 1].key)
    }
    starts = rowStarts.sorted { $0.0 < $1.0 }.map { (row: $0.0, key: $0.1) }
    for index in starts.indices.dropFirst() {
      starts[index].key = max(starts[index].key, starts[index - 1].key)
    }
  }

  /// Whether no row sees a key across a border.
  func isFree(_ border: Int) -> Bool {
    let end = Self.first(ends) { $0 > border }, start = Self.first(starts) { $0 >= border }
    return (end == ends.count || ends[end].key >= border) && (start == 0 || starts[start - 1].key <= border)
  }

  private static func first(_ sorted: [(row: Int, key: Int)], _ isReached: (Int) -> Bool) -> Int {
    var (low, high) = (0, sorted.count)
    while low < high {
      let middle = (low + high) / 2
      if isReached(sorted[middle].row) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
