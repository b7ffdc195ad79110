import Settings
import Synchronization

/// What an expression says of pairs, one by one: the definition of `custom`. Rows that were asked for once are kept, since whoever
/// asks for one pair of a row asks for the others, too.
///
/// Safe from any thread.
final class DefinedCounts: Sendable {
  private struct Row: Hashable {
    let query: Int, head: Int, keys: Int
  }

  private let expression: PairExpression
  private let isCausal: Bool
  private let rows = Mutex<[Row: [UInt8]]>([:])
  /// The most counts that are kept.
  private static let limit = 1 << 24

  init(_ expression: PairExpression, isCausal: Bool) {
    self.expression = expression
    self.isCausal = isCausal
  }

  /// How often a pair counts; 0 for one that planning refused.
  /// - Complexity: O(parts) for each key of a row when it is new, then O(1).
  func count(query: Int, key: Int, head: Int, keys: Int) -> Int {
    let asked = isCausal ? min(keys, query + 1) : keys
    guard key < asked else { return 0 }
    let row = Row(query: query, head: head, keys: keys)
    return rows.withLock { rows in
      if let counts = rows[row] { return Int(counts[key]) }
      if (rows.count + 1) * keys > Self.limit { rows.removeAll() }
      var scratch = PairExpression.Scratch(parts: expression.parts.count)
      let counts = (0..<asked).map { key in
        let pair = PairExpression.Pair(i: query, j: key, h: head, n: keys)
        return UInt8((try? expression.count(at: pair, &scratch)) ?? 0)
      }
      rows[row] = counts
      return Int(counts[key])
    }
  }
}
