import AttentionCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The softmax of one row over a few keys, where rows share no tile.
enum RowSoftmax {
  /// Writes the weights of scores into `weights`.
  /// - Parameter score: the score of the key at a place.
  /// - Returns: the log-sum-exp: −∞ without keys, NaN where a score is none that single precision holds.
  static func weights(
    count: Int, into weights: UnsafeMutablePointer<Float>, score: (_ place: Int) -> Float
  ) -> Float {
    guard count > 0 else { return -.infinity }
    var largest = -Float.infinity
    for place in 0..<count {
      let score = score(place)
      guard Double(score.magnitude) <= ScoreOverflow.limit else { return .nan }
      weights[place] = score
      largest = max(largest, score)
    }
    var sum: Float = 0
    for place in 0..<count {
      weights[place] = exp(weights[place] - largest)
      sum += weights[place]
    }
    for place in 0..<count { weights[place] /= sum }
    return largest + log(sum)
  }

  /// `scale · q·k`; in Double where single precision gives no number: a sum may pass what that holds and come back, or be scaled
  /// down.
  static func score(_ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ dim: Int, scale: Double) -> Float
  {
    let score = Float(scale) * NormalizedRows.dot(q, k, dim)
    if score.isFinite { return score }
    return Float(scale * (0..<dim).reduce(0.0) { $0 + Double(q[$1]) * Double(k[$1]) })
  }

  /// Adds to the gradients of q and k what a score's gradient gives them. The scale may be as small as the rows are large.
  static func addGradient(
    _ slope: Float, _ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ dim: Int, scale: Double,
    to dq: UnsafeMutablePointer<Float>, _ dk: UnsafeMutablePointer<Float>
  ) {
    let scale = Float(scale)
    for t in 0..<dim {
      dq[t] += slope * (scale * k[t])
      dk[t] += slope * (scale * q[t])
    }
  }
}
