import Synchronization

/// The edges of a graph: pairs (source, target) of rows, in the order in which they were given. An edge lets its target attend
/// to its source.
///
/// Edges may stand more than once (each counts) and may join a row with itself. The list is read only; what passes need of it,
/// its rows by target and by source, is made once for each use and kept beside it.
public final class EdgeList: Sendable {
  /// The row of k and v that each edge comes from.
  public let sources: [Int32]
  /// The row of q that each edge leads to.
  public let targets: [Int32]
  /// The largest source; −1 of no edges.
  public let largestSource: Int
  /// The largest target; −1 of no edges.
  public let largestTarget: Int
  private let rows = Mutex<[EdgeRows.Use: EdgeRows]>([:])
  private let unique = Mutex<EdgeList?>(nil)

  /// Gathers edges.
  /// - Precondition: as many sources as targets, none negative, at most `mostEdges`.
  public init(sources: [Int32], targets: [Int32]) {
    precondition(sources.count == targets.count, "\(sources.count) sources, \(targets.count) targets")
    precondition(sources.count <= EdgeList.mostEdges, "\(sources.count) edges")
    (self.sources, self.targets) = (sources, targets)
    largestSource = Int(sources.max() ?? -1)
    largestTarget = Int(targets.max() ?? -1)
    precondition((sources.min() ?? 0) >= 0 && (targets.min() ?? 0) >= 0, "an edge of a negative row")
  }

  /// Places of edges are numbered with 32 bits, self loops included.
  public static let mostEdges = 1 << 30

  /// The number of edges.
  public var count: Int { sources.count }

  /// Bytes of the pairs, and of what was made of them so far.
  public var byteCount: Int {
    8 * count + rows.withLock { $0.values.reduce(0) { $0 + $1.byteCount } }
      + (unique.withLock { $0 }?.byteCount ?? 0)
  }

  /// An edge by its place.
  public subscript(place: Int) -> (source: Int, target: Int) { (Int(sources[place]), Int(targets[place])) }

  /// The first edge that leads outside so many rows.
  /// - Complexity: O(1) when there is none, else O(edges).
  public func firstOutside(sources: Int, targets: Int) -> Int? {
    guard largestSource >= sources || largestTarget >= targets else { return nil }
    return (0..<count).first { self[$0].source >= sources || self[$0].target >= targets }
  }

  /// The first edge that stands before it already, and where.
  /// - Complexity: O(edges · log edges) at first; where there is none, O(1) from then on.
  public func firstDuplicate() -> (place: Int, earlier: Int)? {
    guard withoutDuplicates() !== self else { return nil }
    let order = sortedPlaces()
    var first: (place: Int, earlier: Int)?
    for (a, b) in zip(order, order.dropFirst()) where key(a) == key(b) {
      let pair = (place: Int(max(a, b)), earlier: Int(min(a, b)))
      if first.map({ pair.place < $0.place }) ?? true { first = pair }
    }
    return first
  }

  /// The same edges, each once, in the order of their first places; this list where none stands twice.
  /// - Complexity: O(edges · log edges) at first, then O(1).
  public func withoutDuplicates() -> EdgeList {
    unique.withLock { unique in
      if let unique { return unique === EdgeList.isUnique ? self : unique }
      let made = uniqueEdges()
      // A list that held itself would never be given back.
      unique = made === self ? EdgeList.isUnique : made
      return made
    }
  }

  /// Stands for a list that is its own list of different edges.
  private static let isUnique = EdgeList(sources: [], targets: [])

  private func uniqueEdges() -> EdgeList {
    let order = sortedPlaces()
    var isRepeated = [Bool](repeating: false, count: count)
    // Places of equal edges rise, so the first of a run is the earliest.
    for (a, b) in zip(order, order.dropFirst()) where key(a) == key(b) { isRepeated[Int(b)] = true }
    guard isRepeated.contains(true) else { return self }
    let kept = (0..<count).filter { !isRepeated[$0] }
    return EdgeList(sources: kept.map { sources[$0] }, targets: kept.map { targets[$0] })
  }

  private func key(_ place: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: targets[Int(place)])) << 32 | UInt64(UInt32(bitPattern: sources[Int(place)]))
  }

  private func sortedPlaces() -> [Int32] {
    (0..<Int32(count)).sorted { a, b in
      let (first, second) = (key(a), key(b))
      return first != second ? first < second : a < b
    }
  }

  /// The rows for a use, made once.
  /// - Precondition: no edge leads outside (`firstOutside`).
  /// - Complexity: O(1) when made before, else O(edges + rows).
  public func rows(for use: EdgeRows.Use) -> EdgeRows {
    if let made = rows.withLock({ $0[use] }) { return made }
    let made = EdgeRows(self, for: use)
    rows.withLock { all in
      // A padded batch may bring a new length each time: what is kept stays bounded.
      if all.count >= 4 { all.removeAll() }
      all[use] = made
    }
    return made
  }
}

extension EdgeList: Hashable {
  /// Whether both have the same edges in the same order.
  public static func == (first: EdgeList, second: EdgeList) -> Bool {
    first === second || (first.sources == second.sources && first.targets == second.targets)
  }

  /// Hashes the number of edges and the first of them.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(count)
    hasher.combine(sources.first)
    hasher.combine(targets.first)
  }
}
