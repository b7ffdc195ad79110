import AttentionCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The scores of one row as they come: no weight is kept.
///
/// It holds the largest score m, `Z = Σ c e^{s−m}` and `T = Σ c e^{s−m} (s − m)`, c how often a pair counts; a larger m' takes their
/// place by `T' = e^{m−m'} (T + (m − m') Z)`. Then `lse = m + log Z` and `H = log Z − T/Z`, whatever the size of m.
struct ScoreTally {
  private var pairs = 0
  private var largest = -Double.infinity
  private var sum = 0.0
  private var weighted = 0.0

  /// Whether no pair was added.
  var isEmpty: Bool { pairs == 0 }

  /// Adds the score of a pair.
  mutating func add(_ score: Double, count: Int = 1) {
    pairs += count
    let times = Double(count)
    guard score > largest else {
      let weight = times * exp(score - largest)
      sum += weight
      weighted += weight * (score - largest)
      return
    }
    let shrink = exp(largest - score)
    // Of nothing, −∞ · 0.
    weighted = sum > 0 ? shrink * (weighted + (largest - score) * sum) : 0
    sum = sum * shrink + times
    largest = score
  }

  /// The pairs of both.
  func joined(_ other: ScoreTally) -> ScoreTally {
    if other.isEmpty { return self }
    if isEmpty { return other }
    if largest < other.largest { return other.joined(self) }
    let shrink = exp(other.largest - largest)
    var result = self
    result.pairs += other.pairs
    result.sum += shrink * other.sum
    result.weighted += shrink * (other.weighted + (other.largest - largest) * other.sum)
    return result
  }

  private var lse: Double { sum > 0 ? largest + log(sum) : -.infinity }
  private var entropy: Double { sum > 0 ? max(0, log(sum) - weighted / sum) : 0 }

  /// Rows as statistics, in their order.
  static func statistics(of rows: [ScoreTally]) -> RowStatistics {
    rows.reduce(into: RowStatistics()) {
      $0.append(pairs: $1.pairs, largestScore: $1.largest, lse: $1.lse, entropy: $1.entropy)
    }
  }
}
