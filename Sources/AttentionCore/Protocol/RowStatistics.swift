/// What the weights of every row of q are like, told without the weights: one element a row, in the order of the log-sum-exp.
///
/// With scores s and weights p: the largest s, and the entropy `H = lse − Σ_j p_j s_j` in nats, which is `−Σ_j p_j log p_j` where every
/// pair counts once. A row without keys has −∞, −∞ and 0.
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

  /// Adds rows behind these.
  public mutating func append(_ others: RowStatistics) {
    pairs += others.pairs
    largestScore += others.largestScore
    lse += others.lse
    entropy += others.entropy
  }
}
