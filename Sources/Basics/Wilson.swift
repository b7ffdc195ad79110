/// Wilson's interval of a share.
public enum Wilson {
  /// The 95 % interval of a share: (p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n), z = 1.96.
  ///
  /// Source: Wilson, 1927; Brown, Cai and DasGupta, 2001.
  /// - Parameters:
  ///   - p: the share that was counted.
  ///   - n: how many there were; above 0.
  /// - Returns: bounds from 0 to 1.
  public static func interval(share p: Double, count n: Double) -> (low: Double, high: Double) {
    let z = 1.959_963_985
    let centre: Double = p + z * z / (2 * n)
    let variance: Double = p * (1 - p) / n + z * z / (4 * n * n)
    let root: Double = z * variance.squareRoot()
    let scale: Double = 1 + z * z / n
    return (max(0, (centre - root) / scale), min(1, (centre + root) / scale))
  }
}
