/// The best sentences of a stream that fit a budget together.
///
/// Sentences are ranked by falling score, of equals the earlier first; one that is longer than the budget is out. The ranking reaches as
/// far as `reach` budgets of bytes. Along it each sentence that still fits is kept: a long one leaves its room to the next that fits.
struct BestSentences {
  /// How many budgets of bytes are held: room that one sentence leaves is filled by one of those behind it.
  static let reach = 4

  private let budget: Int
  /// By falling score, then rising place; all but the last begin within reach.
  private var ranking: [(place: Int, score: Double, bytes: Int)] = []
  /// Of all in the ranking.
  private var bytes = 0

  init(budget: Int) { self.budget = budget }

  private var most: Int { Self.reach * budget }

  /// Offers a sentence; later ones have greater places.
  /// - Returns: the places that are out for good.
  /// - Complexity: O(those that are held).
  @discardableResult mutating func add(_ size: Int, _ score: Double, at place: Int) -> [Int] {
    // What scores nothing is not kept, and what is longer than the budget never fits.
    guard score > 0, size <= budget else { return [place] }
    if bytes > most, let last = ranking.last, score <= last.score { return [place] }
    var low = 0, high = ranking.count
    while low < high {
      let middle = (low + high) / 2
      if ranking[middle].score >= score { low = middle + 1 } else { high = middle }
    }
    ranking.insert((place, score, size), at: low)
    bytes += size
    var out: [Int] = []
    while let last = ranking.last, bytes - last.bytes > most {
      bytes -= last.bytes
      ranking.removeLast()
      out.append(last.place)
    }
    return out
  }

  /// Those that are kept, best first.
  private var fitting: [(place: Int, score: Double, bytes: Int)] {
    var left = budget
    return ranking.filter {
      guard $0.bytes <= left else { return false }
      left -= $0.bytes
      return true
    }
  }

  /// The places of those that are kept, rising.
  var places: [Int] { fitting.map(\.place).sorted() }

  /// Bytes of those that are kept.
  var size: Int { fitting.reduce(0) { $0 + $1.bytes } }
}
