/// The best of many that fit into a budget together: the longest beginning of the ranking that does.
///
/// It holds the winners so far and the first that does not fit, so that any number can be offered.
struct BestSentences {
  private let budget: Int
  /// By falling score, then rising place; all but the last fit.
  private var ranking: [(place: Int, score: Double, bytes: Int)] = []
  /// Of all in the ranking.
  private var bytes = 0

  init(budget: Int) { self.budget = budget }

  /// Offers a sentence; later ones have greater places.
  /// - Returns: the places that are out for good.
  /// - Complexity: O(those that are held).
  @discardableResult mutating func add(_ size: Int, _ score: Double, at place: Int) -> [Int] {
    // What scores nothing is not kept, and an empty budget keeps nothing.
    guard score > 0, budget > 0 else { return [place] }
    if bytes > budget, let last = ranking.last, score <= last.score { return [place] }
    var low = 0, high = ranking.count
    while low < high {
      let middle = (low + high) / 2
      if ranking[middle].score >= score { low = middle + 1 } else { high = middle }
    }
    ranking.insert((place, score, size), at: low)
    bytes += size
    var out: [Int] = []
    // One that does not fit stays: what is worse than it is out, since the ranking ends there.
    while let last = ranking.last, bytes - last.bytes > budget {
      bytes -= last.bytes
      ranking.removeLast()
      out.append(last.place)
    }
    return out
  }

  /// The places of those that fit, rising.
  var places: [Int] {
    let fits = bytes > budget ? ranking.dropLast() : ranking[...]
    return fits.map(\.place).sorted()
  }

  /// Bytes of those that fit.
  var size: Int { bytes > budget ? bytes - (ranking.last?.bytes ?? 0) : bytes }
}
