/// What a pass's loss turned out to be, told to attention that drew in it, when the way back begins.
///
/// With a draw a of probability p_θ(a), `∂E[L] = E[∂L + (L − b) ∂log p_θ(a)]` for every b that does not depend on a: what a draw changed
/// is known by the loss alone. L is a part of what is differentiated, so its factor is in it.
/// - Source: Williams, 1992, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning.
public struct LossSignal: Hashable, Sendable {
  /// The part of every sequence in the loss.
  public var losses: [Double]
  /// What that part was to be, as earlier steps had it: no draw of this step is in it.
  public var expected: [Double]
  /// What a nat of one labelled position counts in the loss.
  public var weight: Double

  /// Creates a signal.
  /// - Parameters:
  ///   - losses: the part of every sequence in the loss.
  ///   - expected: what it was to be.
  ///   - weight: what a nat of one labelled position counts.
  public init(losses: [Double], expected: [Double], weight: Double) {
    (self.losses, self.expected, self.weight) = (losses, expected, weight)
  }

  /// `L − b` of a sequence among `count` that attention sees.
  ///
  /// Where they are not the sequences of the loss (segments of documents), each answers for the whole: that is as right, and noisier.
  /// - Parameters:
  ///   - sequence: its number.
  ///   - count: the sequences of the call.
  ///   - isCentred: whether b is what was expected, or else 0.
  /// - Returns: `L − b`.
  public func advantage(of sequence: Int, among count: Int, isCentred: Bool) -> Double {
    guard count == losses.count else {
      return losses.reduce(0, +) - (isCentred ? expected.reduce(0, +) : 0)
    }
    return losses[sequence] - (isCentred ? expected[sequence] : 0)
  }
}
