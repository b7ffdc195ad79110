/// What the weights of every row of q are like, told without the weights: one element a row, in the order of the log-sum-exp.
///
/// With scores s and weights p: the largest s, and the entropy `H = lse − Σ_j p_j s_j` in nats, which is `−Σ_j p_j log p_j` where every
/// pair counts once. A row without keys has −∞, −∞ and 0. What stands in the denominator beside the keys (a sink) is no pair and no
/// score of the row; it has its part in the log-sum-exp and in the entropy. A factor on weights after the softmax has none.
public struct RowStatistics: Hashable, Sendable {
  /// Pairs that count, each as often as it does.
  public var pairs: [Int] = []
  /// The largest score.
  public var largestScore: [Double] = []
  /// The log-sum-exp.
  public var lse: [Double] = []
  /// The entropy of the weights, in nats: its exponential is how many keys as many equal weights would be.
  public var entropy: [Double] = []

  /// None yet.
  public init() {}

  /// Adds a row.
  public mutating func append(pairs: Int, largestScore: Double, lse: Double, entropy: Double) {
    self.pairs.append(pairs)
    self.largestScore.append(largestScore)
    self.lse.append(lse)
    self.entropy.append(entropy)
  }

  /// These, but for rows that are taken from others of as many rows.
  /// - Parameters:
  ///   - others: statistics of the same rows over other pairs.
  ///   - isTaken: whether a row, by its place, is taken from them.
  /// - Returns: the rows of both, in their order.
  public func replacing(_ others: RowStatistics, where isTaken: (Int) -> Bool) -> RowStatistics {
    var result = RowStatistics()
    for index in pairs.indices {
      let row = isTaken(index) ? others : self
      result.append(
        pairs: row.pairs[index], largestScore: row.largestScore[index], lse: row.lse[index],
        entropy: row.entropy[index])
    }
    return result
  }

  /// Adds rows behind these.
  public mutating func append(_ others: RowStatistics) {
    pairs += others.pairs
    largestScore += others.largestScore
    lse += others.lse
    entropy += others.entropy
  }
}
