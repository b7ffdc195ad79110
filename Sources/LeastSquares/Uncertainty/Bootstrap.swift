import Basics

/// Refits of resampled rows, or of resampled clusters of rows.
public struct Bootstrap: Sendable {
  /// One set of estimates per resample that could be fitted, in the order of the form.
  public let replicates: [[Double]]
  /// Resamples that could not be fitted.
  public let failures: Int
  /// Whether whole clusters were drawn rather than rows.
  public let clustered: Bool

  /// Draws and refits; the same seed gives the same numbers on any number of threads, and the resamples that
  /// `numpy.random.seed(seed)` followed by a `numpy.random.choice(n, n)` each give.
  ///
  /// Complexity: `resamples` refits, on all cores.
  init(_ fit: Fit, resamples: Int, seed: UInt64, threads: Int) {
    let refitter = Refitter(fit)
    let clusters = fit.data.clusters
    let groups = clusters.map { ($0.max() ?? -1) + 1 } ?? fit.data.count
    var generator = MersenneTwister(seed: seed)
    var replicates: [[Double]] = []
    var left = resamples
    while left > 0 {
      // One stream of draws, made ahead of the refits but never more of them than fit in some 100 MB.
      let count = min(left, max(64, 10_000_000 / max(groups, 1)))
      let draws = (0..<count).map { _ in
        var drawn = [Double](repeating: 0, count: groups)
        for _ in 0..<groups { drawn[generator.index(below: groups)] += 1 }
        return drawn
      }
      replicates += Parallel.map(count: count, threads: threads) { k in
        refitter.refit(multiplicity: clusters.map { $0.map { draws[k][$0] } } ?? draws[k])
      }.compactMap { $0 }
      left -= count
    }
    self.replicates = replicates
    failures = resamples - replicates.count
    clustered = clusters != nil
  }

  /// Standard error and quantile interval of a function of the estimates; nil with under 20 resamples.
  func percentile(
    _ confidence: Double, _ function: ([Double]) -> Double
  ) -> (standardError: Double, low: Double, high: Double)? {
    let values = replicates.map(function).filter(\.isFinite).sorted()
    guard values.count >= 20 else { return nil }
    let tail = 0.5 * (1 - confidence)
    return (standardDeviation(values), Quantiles.ofSorted(values, tail), Quantiles.ofSorted(values, 1 - tail))
  }

  /// Efron's interval, corrected for bias by the share of replicates below the estimate and for acceleration by
  /// the jackknife: quantiles at Φ(z₀ + (z₀ + z)/(1 − a(z₀ + z))).
  func accelerated(
    _ confidence: Double, estimate: Double, jackknife: [Double], _ function: ([Double]) -> Double
  ) -> (low: Double, high: Double)? {
    let values = replicates.map(function).filter(\.isFinite).sorted()
    guard values.count >= 20, jackknife.count > 2 else { return nil }
    let below =
      Double(values.filter { $0 < estimate }.count) + 0.5 * Double(values.filter { $0 == estimate }.count)
    let share = min(
      max(below / Double(values.count), 0.5 / Double(values.count)), 1 - 0.5 / Double(values.count))
    let bias = Distributions.normalQuantile(share)
    let mean = jackknife.sum() / Double(jackknife.count)
    let squares = jackknife.map { (mean - $0) * (mean - $0) }.sum()
    let cubes = jackknife.map { (mean - $0) * (mean - $0) * (mean - $0) }.sum()
    let acceleration = squares > 0 ? cubes / (6 * power(squares, 1.5)) : 0
    func end(_ probability: Double) -> Double {
      let z = bias + Distributions.normalQuantile(probability)
      return Quantiles.ofSorted(values, Distributions.normal(bias + z / (1 - acceleration * z)))
    }
    return (end(0.5 * (1 - confidence)), end(0.5 * (1 + confidence)))
  }
}
