import LeastSquares

/// Where two fitted curves of one variable meet.
public struct Crossover: Sendable, Equatable {
  /// The value of the variable at which the curves are equal.
  public let x: Double
  /// The lower end of its interval; nil when the data leave it open on that side.
  public let low: Double?
  /// The upper end of its interval; nil when the data leave it open on that side.
  public let high: Double?
  /// Whether the first curve is the lower one to the right of the meeting point.
  public let firstIsLowerAbove: Bool
  /// How far the point lies outside the rows of both fits (1 inside).
  public let extrapolation: Double
}

/// The meeting point of two curves nearest to their data, or nil when they do not meet in the range.
///
/// - Parameters:
///   - first: a fit of one variable.
///   - second: a fit of the same variable.
///   - range: where to look; from 1/16 of the smallest to 16 times the largest x of the data by default.
public func crossover(of first: Fit, and second: Fit, in range: ClosedRange<Double>? = nil) -> Crossover? {
  let all = crossovers(of: first, and: second, in: range)
  return all.min { ($0.extrapolation, $0.x) < ($1.extrapolation, $1.x) }
}

/// All meeting points of two curves in a range, by rising x.
///
/// The interval is Fieller's: all x around the point at which |ln f₁ − ln f₂| ≤ t·√(Var ln f₁ + Var ln f₂), so it
/// is open (nil) on a side on which the curves cannot be told apart however far one goes (1000 × the range).
/// The two fits count as independent. Complexity O(1) fits, some thousand evaluations.
public func crossovers(of first: Fit, and second: Fit, in range: ClosedRange<Double>? = nil) -> [Crossover] {
  guard first.data.columns.count == 1, second.data.columns.count == 1 else { return [] }
  let xs = (first.data.columns[0] + second.data.columns[0]).filter { $0 > 0 }
  guard let least = xs.min(), let most = xs.max() else { return [] }
  let low = logarithm(range?.lowerBound ?? least / 16)
  let high = logarithm(range?.upperBound ?? most * 16)
  guard low.isFinite, high > low else { return [] }
  let pair = CurvePair(first: first, second: second)
  let cells = 2000
  func place(_ k: Int) -> Double { low + (high - low) * Double(k) / Double(cells) }
  var found: [Crossover] = []
  var previous = pair.difference(place(0))
  for k in 1...cells {
    let current = pair.difference(place(k))
    defer { previous = current }
    guard previous.isFinite, current.isFinite, previous != 0, (previous < 0) != (current < 0) || current == 0
    else { continue }
    let root = pair.root(place(k - 1), place(k))
    let x = exponential(root)
    let ends = pair.interval(around: root, low: low - logarithm(1000.0), high: high + logarithm(1000.0))
    found.append(
      Crossover(
        x: x, low: ends.low, high: ends.high, firstIsLowerAbove: previous > 0,
        extrapolation: max(first.extrapolation(to: [x]), second.extrapolation(to: [x]))))
  }
  return found
}

/// The difference of the logarithms of two curves, over ln x.
private struct CurvePair {
  let first: Fit
  let second: Fit

  func difference(_ l: Double) -> Double {
    let x = exponential(l)
    return logarithm(first.value(at: [x])) - logarithm(second.value(at: [x]))
  }

  func root(_ a: Double, _ b: Double) -> Double {
    var (low, high) = (a, b)
    let negative = difference(low) < 0
    for _ in 0..<80 {
      let middle = 0.5 * (low + high)
      if (difference(middle) < 0) == negative { low = middle } else { high = middle }
    }
    return 0.5 * (low + high)
  }

  /// |difference| over its standard error, divided by the quantile: at most 1 inside the interval.
  private func separation(_ l: Double) -> Double {
    let x = exponential(l)
    let a = first.logVariance(at: x)
    let b = second.logVariance(at: x)
    let total = a + b
    guard total > 0 else { return abs(difference(l)) > 0 ? .infinity : 0 }
    // Welch's degrees of freedom for the sum of two estimated variances.
    let freedom =
      total * total
      / (a * a / Double(max(first.degreesOfFreedom, 1)) + b * b / Double(max(second.degreesOfFreedom, 1)))
    let t = Distributions.tQuantile(first.options.confidence, freedom: max(freedom, 1))
    return abs(difference(l)) / (t * total.squareRoot())
  }

  func interval(around root: Double, low: Double, high: Double) -> (low: Double?, high: Double?) {
    (end(root, toward: low), end(root, toward: high))
  }

  private func end(_ root: Double, toward limit: Double) -> Double? {
    let steps = 2000
    var inside = root
    for k in 1...steps {
      let l = root + (limit - root) * Double(k) / Double(steps)
      let s = separation(l)
      if !s.isFinite && difference(l).isNaN { return nil }
      if s > 1 {
        var outside = l
        for _ in 0..<60 {
          let middle = 0.5 * (inside + outside)
          if separation(middle) > 1 { outside = middle } else { inside = middle }
        }
        return exponential(0.5 * (inside + outside))
      }
      inside = l
    }
    return nil
  }
}
