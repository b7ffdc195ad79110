import Foundation

/// TextRank: sentences that many others resemble.
///
/// Two sentences i ≠ j are joined with the weight |W_i ∩ W_j| / (ln|S_i| + ln|S_j|): the different words that both have, over
/// the logarithms of their lengths in words; with 0 where both have one word. Scores are PageRank's on this graph,
/// x_i = (1 − d)/n + d·(Σ_j x_j·w_ji/Σ_k w_jk + (Σ_{j alone} x_j)/n), a sentence alone giving alike to all. They start at 1/n and are
/// computed anew until they change by less than 10⁻¹³ in sum, at most 500 times. What is given back is n·x: the mean is 1.
/// Ties: scores count as equal where they agree in units of 2⁻³⁶; the earlier sentence then goes first.
///
/// Source: Mihalcea and Tarau 2004, TextRank: bringing order into texts, with d = 0.85; PageRank as in networkx.
public struct TextRank: Hashable, Sendable {
  /// d.
  public var damping = 0.85

  /// The usual damping.
  public init(damping: Double = 0.85) { self.damping = damping }

  /// The most sentences that are ranked together: their weights are n² numbers, 8 MiB.
  public static let mostSentences = 1024

  /// The scores of sentences.
  /// - Complexity: O(n² · iterations) operations, 8·n² bytes.
  /// - Precondition: at most `mostSentences`.
  public func scores(of sentences: [[UInt8]]) -> [Double] {
    let n = sentences.count
    precondition(n <= Self.mostSentences, "\(n) sentences at a time")
    guard n > 0 else { return [] }
    let weights = Self.weights(between: sentences)
    let sums = (0..<n).map { row in weights[row * n..<(row + 1) * n].reduce(0, +) }
    let share = 1 / Double(n)
    var scores = [Double](repeating: share, count: n)
    for _ in 0..<500 {
      let alone = (0..<n).reduce(0.0) { $0 + (sums[$1] == 0 ? scores[$1] : 0) }
      var next = [Double](repeating: (1 - damping) * share + damping * alone * share, count: n)
      for row in 0..<n where sums[row] > 0 {
        let given = damping * scores[row] / sums[row]
        for column in 0..<n { next[column] += given * weights[row * n + column] }
      }
      let change = zip(next, scores).reduce(0) { $0 + abs($1.0 - $1.1) }
      scores = next
      if change < 1e-13 { break }
    }
    return scores.map { ($0 * Double(n) * 0x1p36).rounded() / 0x1p36 }
  }

  /// The weights between sentences, `[n, n]`.
  static func weights(between sentences: [[UInt8]]) -> [Double] {
    let n = sentences.count
    let words = sentences.map { Words.all(in: $0) }
    var weights = [Double](repeating: 0, count: n * n)
    // Shared words by an index of who has which; every pair is counted from its later sentence.
    var holders: [UInt64: [Int]] = [:]
    for (row, own) in words.enumerated() {
      for word in Set(own) {
        for other in holders[word, default: []] { weights[row * n + other] += 1 }
        holders[word, default: []].append(row)
      }
    }
    for row in 0..<n {
      for column in 0..<row where weights[row * n + column] > 0 {
        let scale = log(Double(words[row].count)) + log(Double(words[column].count))
        let weight = scale > 0 ? weights[row * n + column] / scale : 0
        (weights[row * n + column], weights[column * n + row]) = (weight, weight)
      }
    }
    return weights
  }
}
