/// The edges of a graph by target and by source: what the passes over it walk.
///
/// Edge number e of a target's `edges(to:)` has the source `sources[e]`; within a target sources rise. `edges(from:)` gives
/// places in `targets` and `places` that lead from a source: its targets, and the numbers of these edges.
/// - Complexity: 12 bytes an edge, 8 bytes a row.
public struct EdgeRows: Sendable {
  /// What the rows are made for.
  public struct Use: Hashable, Sendable {
    /// Rows of q.
    public var queries: Int
    /// Rows of k and v.
    public var keys: Int
    /// The position of row 0 of q among those of k.
    public var offset: Int
    /// Whether edges from later positions are left out.
    public var isCausal: Bool
    /// Whether every row of q gets one edge from its own position, in the place of those that are given.
    public var selfLoops: Bool

    /// Says what they are made for.
    public init(queries: Int, keys: Int, offset: Int, isCausal: Bool, selfLoops: Bool) {
      (self.queries, self.keys, self.offset) = (queries, keys, offset)
      (self.isCausal, self.selfLoops) = (isCausal, selfLoops)
    }
  }

  /// The source of every edge, target by target.
  public let sources: [Int32]
  /// The target of every edge, source by source.
  public let targets: [Int32]
  /// The number among `sources` of every edge, source by source.
  public let places: [Int32]
  private let targetStarts: [Int32], sourceStarts: [Int32]
  /// Runs of targets of about as many edges each: units of work that depend on the graph alone.
  public let targetParts: [Range<Int>]
  /// Runs of sources likewise.
  public let sourceParts: [Range<Int>]
  /// The most edges of one target.
  public let mostSources: Int

  /// The number of edges in use.
  public var count: Int { sources.count }

  /// Bytes of all tables.
  public var byteCount: Int { 12 * count + 4 * (targetStarts.count + sourceStarts.count) }

  /// The numbers of the edges that lead to a target.
  public func edges(to target: Int) -> Range<Int> {
    Int(targetStarts[target])..<Int(targetStarts[target + 1])
  }

  /// The places in `targets` and `places` of the edges that come from a source.
  public func edges(from source: Int) -> Range<Int> {
    Int(sourceStarts[source])..<Int(sourceStarts[source + 1])
  }

  /// How many of a target's edges come from the first `keys` sources: those stand first.
  /// - Complexity: O(log edges of the target).
  public func count(to target: Int, among keys: Int) -> Int {
    let edges = edges(to: target)
    var (low, high) = (edges.lowerBound, edges.upperBound)
    while low < high {
      let middle = (low + high) / 2
      if Int(sources[middle]) < keys { low = middle + 1 } else { high = middle }
    }
    return low - edges.lowerBound
  }

  /// Edges of a unit of work, rows counted too.
  private static let partSize = 1 << 13

  /// Sorts the edges of a list by counting: by target, from there by source with rising targets, from there by target with
  /// rising sources.
  init(_ list: EdgeList, for use: Use) {
    var byTarget = list.sources.withUnsafeBufferPointer { sources in
      list.targets.withUnsafeBufferPointer { targets in
        EdgeRows.used(sources, targets, use)
      }
    }
    let bySource = byTarget.transposed(rows: use.keys)
    byTarget = bySource.transposed(rows: use.queries)
    // Where every edge stands among those by source, turned round.
    var places = [Int32](repeating: 0, count: bySource.ends.count)
    for (number, place) in byTarget.origins.enumerated() { places[Int(place)] = Int32(number) }
    (sources, targets, self.places) = (byTarget.ends, bySource.ends, places)
    (targetStarts, sourceStarts) = (byTarget.starts, bySource.starts)
    targetParts = EdgeRows.parts(byTarget.starts)
    sourceParts = EdgeRows.parts(bySource.starts)
    mostSources = Int(zip(byTarget.starts, byTarget.starts.dropFirst()).map { $1 - $0 }.max() ?? 0)
  }

  /// The edges in use by target, in the order of the list, self loops behind.
  private static func used(
    _ sources: UnsafeBufferPointer<Int32>, _ targets: UnsafeBufferPointer<Int32>, _ use: Use
  ) -> Sorted {
    func counts(_ place: Int) -> Bool {
      let position = Int(targets[place]) + use.offset, source = Int(sources[place])
      if use.selfLoops, source == position { return false }
      return !use.isCausal || source <= position
    }
    var starts = [Int32](repeating: 0, count: use.queries + 1)
    for place in sources.indices where counts(place) { starts[Int(targets[place]) + 1] += 1 }
    let loops =
      use.selfLoops
      ? max(0, -use.offset)..<max(max(0, -use.offset), min(use.queries, use.keys - use.offset)) : 0..<0
    for row in loops { starts[row + 1] += 1 }
    for row in 0..<use.queries { starts[row + 1] += starts[row] }
    var next = starts
    var ends = [Int32](repeating: 0, count: Int(starts[use.queries]))
    ends.withUnsafeMutableBufferPointer { ends in
      for place in sources.indices where counts(place) {
        let row = Int(targets[place])
        ends[Int(next[row])] = sources[place]
        next[row] += 1
      }
      for row in loops {
        ends[Int(next[row])] = Int32(row + use.offset)
        next[row] += 1
      }
    }
    return Sorted(starts: starts, ends: ends, origins: [])
  }

  /// Edges in the order of one of their ends.
  private struct Sorted {
    /// Where the edges of a row begin.
    var starts: [Int32]
    /// The other end of every edge.
    var ends: [Int32]
    /// Where every edge stood before it was sorted.
    var origins: [Int32]

    /// The same edges by their other ends, of which there are `rows`; within one this one's rows rise.
    func transposed(rows: Int) -> Sorted {
      var starts = [Int32](repeating: 0, count: rows + 1)
      for end in ends { starts[Int(end) + 1] += 1 }
      for row in 0..<rows { starts[row + 1] += starts[row] }
      var next = starts
      var others = [Int32](repeating: 0, count: ends.count), origins = others
      others.withUnsafeMutableBufferPointer { others in
        origins.withUnsafeMutableBufferPointer { origins in
          for row in 0..<self.starts.count - 1 {
            for place in Int(self.starts[row])..<Int(self.starts[row + 1]) {
              let end = Int(ends[place]), target = Int(next[end])
              (others[target], origins[target]) = (Int32(row), Int32(place))
              next[end] += 1
            }
          }
        }
      }
      return Sorted(starts: starts, ends: others, origins: origins)
    }
  }

  /// Runs of rows with at most `partSize` edges and rows, or one row.
  private static func parts(_ starts: [Int32]) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var first = 0
    for row in 0..<starts.count - 1 {
      let size = Int(starts[row + 1] - starts[first]) + row + 1 - first
      if size > partSize, row > first {
        parts.append(first..<row)
        first = row
      }
    }
    if first < starts.count - 1 { parts.append(first..<starts.count - 1) }
    return parts
  }
}
