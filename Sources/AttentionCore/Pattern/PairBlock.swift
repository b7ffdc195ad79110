/// Some rows of q and some keys that follow one another, and how often each pair of them counts.
///
/// Rows stand at the positions `first, first + step, …`; at most 64 rows and 64 keys. Whoever says what pairs count fills
/// in those that are asked for: `asks(lane:key:)` is false for a causal shape's future, where nothing may be evaluated.
public struct PairBlock: Sendable {
  /// The most keys of a block.
  public static let width = 64

  /// The position of the first row.
  public let first: Int
  /// The distance between rows.
  public let step: Int
  /// The number of rows, 1 … 64.
  public let rows: Int
  /// The keys, at most 64.
  public let keys: Range<Int>
  /// Whether a row asks for keys up to its own position only.
  public let isCausal: Bool
  /// How often the pair of row `lane` and key `keys.lowerBound + t` counts, at `lane · 64 + t`; 0 where nothing is asked.
  public var counts = [UInt8](repeating: 0, count: TileList.lanes * PairBlock.width)

  /// A block in which no pair counts yet.
  /// - Parameters:
  ///   - first: the position of the first row.
  ///   - step: the distance between rows.
  ///   - rows: their number.
  ///   - keys: the keys.
  ///   - isCausal: whether a row asks for keys up to its own position only.
  /// - Precondition: at most 64 rows and 64 keys.
  public init(first: Int, step: Int, rows: Int, keys: Range<Int>, isCausal: Bool) {
    precondition(
      rows <= TileList.lanes && keys.count <= PairBlock.width, "block of \(rows) rows and \(keys.count) keys")
    (self.first, self.step, self.rows, self.keys, self.isCausal) = (first, step, rows, keys, isCausal)
  }

  /// The position of a row.
  public func position(_ lane: Int) -> Int { first + lane * step }

  /// The keys that a row asks for.
  public func keys(of lane: Int) -> Range<Int> {
    guard isCausal else { return keys }
    return keys.lowerBound..<max(keys.lowerBound, min(keys.upperBound, position(lane) + 1))
  }
}

/// Says how often pairs of one head count, for whoever looks for the tiles of a pattern.
public protocol PairCounting {
  /// What may go wrong with a pair.
  associatedtype Failure: Error

  /// Fills in the pairs that a block asks for, each from 0 to 255.
  /// - Throws: what says that a pair has no count.
  mutating func fill(_ block: inout PairBlock) throws(Failure)

  /// How often every pair of a block counts, where they are alike and that is known without looking at each; else `nil`.
  /// - Parameters:
  ///   - queries: positions.
  ///   - keys: rows of k.
  /// - Complexity: must not depend on how many pairs there are.
  func commonCount(queries: ClosedRange<Int>, keys: Range<Int>) -> Int?
}

extension PairCounting {
  /// It is not known.
  public func commonCount(queries: ClosedRange<Int>, keys: Range<Int>) -> Int? { nil }
}

/// Pairs that a closure counts.
struct ClosureCounts<Failure: Error>: PairCounting {
  let count: (_ query: Int, _ key: Int) throws(Failure) -> Int

  func fill(_ block: inout PairBlock) throws(Failure) {
    for lane in 0..<block.rows {
      let query = block.position(lane)
      for key in block.keys(of: lane) {
        let count = try count(query, key)
        precondition(
          (0...Int(UInt8.max)).contains(count),
          "pair (\(query), \(key)) counts \(count) times; 0 to 255 will do")
        block.counts[lane * PairBlock.width + key - block.keys.lowerBound] = UInt8(count)
      }
    }
  }
}
