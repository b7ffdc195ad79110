import Basics
import LeastSquares

/// Hoffmann's second approach: at each budget a parabola of the loss over ln N, then power laws through the minima.
///
/// Runs need not have exactly their budget: those within a window count as one, and a slope in ln C takes out what
/// they differ by.
///
/// A law with α ≠ β is no parabola in ln N. So the minima are off by a factor that no number of runs removes: 1.2955 for
/// α = 0.46, β = 0.155 and 15 sizes from 1/16 to 16 times the best one. `bias` says what it is for a fitted law.
public struct IsoFLOP: Sendable {
  /// The runs of one budget.
  public struct Curve: Sendable {
    /// The budget: the geometric mean of the runs'.
    public let budget: Double
    /// ln N of the runs.
    public let logParameters: [Double]
    /// The losses.
    public let losses: [Double]
    /// L = c₀ + c₁ l + c₂ l² with l = ln N − `center`.
    public let coefficients: [Double]
    /// The middle around which the parabola is written.
    public let center: Double
    /// N at the minimum, with its interval.
    public let optimum: Interval
    /// The loss at the minimum.
    public let loss: Double
    let logVariance: Double
    /// ln of each run's compute over the budget.
    let logCompute: [Double]

    /// The parabola at ln N.
    public func value(_ logN: Double) -> Double {
      let l = logN - center
      return coefficients[0] + coefficients[1] * l + coefficients[2] * l * l
    }
  }
  /// The budgets that gave a minimum, smallest first.
  public let curves: [Curve]
  /// Budgets that gave none, with the reason.
  public let refusals: [(budget: Double, reason: String)]
  /// N* = k·C^a.
  public let parametersLaw: Fit
  /// D* = k·C^b.
  public let tokensLaw: Fit
  /// k in C = k·N·D.
  public let flopsPerParameterToken: Double
  /// What parabolas do to the sizes, when the law is known; nil when it has no minimum on some budget.
  public private(set) var bias: Bias?

  /// By which factor the parabolas' sizes differ from those of a law on whose own losses they are drawn.
  public struct Bias: Sendable, Equatable {
    /// What the exponent a in N* ∝ C^a is off by.
    public let exponent: Double
    /// ln of the factor at the budgets' centre, which is e^`center`.
    let logFactor: Double
    let center: Double

    /// The factor in N* at a budget: above 1 where parabolas say too much.
    public func factor(at budget: Double) -> Double {
      exponential(logFactor + exponent * (logarithm(budget) - center))
    }
  }

  /// The method on the rows of a fitted law of (N, D), with its bias under that law.
  /// - Throws: `FitError` as below.
  public init(_ fit: Fit, flopsPerParameterToken k: Double = 6) throws(FitError) {
    let (n, d) = (fit.data.columns[0], fit.data.columns[1])
    try self.init(
      parameters: n, compute: zip(n, d).map { k * $0 * $1 }, losses: fit.data.response,
      flopsPerParameterToken: k, confidence: fit.options.confidence)
    bias = bias(under: fit)
  }

  /// The same sizes and budgets with the law's own losses and no noise. The law through the minima is a weighted line in
  /// logarithms, so its bias is that line through the logarithms of the minima's factors.
  private func bias(under fit: Fit) -> Bias? {
    let optimum = ComputeOptimum(form: fit.form, flopsPerParameterToken: flopsPerParameterToken)
    var matrix: [Double] = []
    var rhs: [Double] = []
    let center = curves.map { logarithm($0.budget) }.sum() / Double(curves.count)
    for curve in curves {
      let losses = zip(curve.logParameters, curve.logCompute).map { size, compute in
        let tokens = logarithm(curve.budget / flopsPerParameterToken) + compute - size
        return fit.value(at: [exponential(size), exponential(tokens)])
      }
      let runs = Runs(logParameters: curve.logParameters, losses: losses, logCompute: curve.logCompute)
      guard case .success(let found) = IsoFLOP.parabola(runs, curve.budget, 0.95, mayLieOutside: true),
        let best = optimum.logParameters(fit.theta, budget: curve.budget)
      else { return nil }
      let root = 1 / max(curve.logVariance, 1e-12).squareRoot()
      matrix += [root, root * (logarithm(curve.budget) - center)]
      rhs.append(root * (logarithm(found.optimum.value) - best))
    }
    let line = TallFactor(matrix, rows: curves.count, p: 2, rhs: rhs).solve()
    return Bias(exponent: line[1], logFactor: line[0], center: center)
  }

  /// Groups runs by budget, fits the parabolas and the laws through their minima.
  ///
  /// Budgets are the windows of width `ratio` that hold most runs, taken greedily; runs in none are left out.
  /// - Throws: `FitError` when fewer than four budgets have a minimum.
  public init(
    parameters: [Double], compute: [Double], losses: [Double], ratio: Double = 1.25,
    flopsPerParameterToken: Double = 6, confidence: Double = 0.95
  ) throws(FitError) {
    guard parameters.count == compute.count, parameters.count == losses.count else {
      throw FitError(.badData, "IsoFLOP: parameters, compute and losses differ in length")
    }
    var curves: [Curve] = []
    var refusals: [(budget: Double, reason: String)] = []
    for group in IsoFLOP.groups(compute, ratio) {
      let budget = exponential(group.map { logarithm(compute[$0]) }.sum() / Double(group.count))
      let runs = Runs(
        logParameters: group.map { logarithm(parameters[$0]) }, losses: group.map { losses[$0] },
        logCompute: group.map { logarithm(compute[$0] / budget) })
      switch IsoFLOP.parabola(runs, budget, confidence) {
      case .success(let curve): curves.append(curve)
      case .failure(let reason): refusals.append((budget, reason.description))
      }
    }
    guard curves.count >= 4 else {
      throw FitError(
        .tooFewRows,
        "IsoFLOP: a minimum between their sizes: \(counted(curves.count, "budget")); at least 4 are needed")
    }
    self.curves = curves
    self.refusals = refusals
    self.flopsPerParameterToken = flopsPerParameterToken
    var options = FitOptions()
    options.confidence = confidence
    options.influence = false
    let budgets = curves.map(\.budget)
    let weights = curves.map { 1 / max($0.logVariance, 1e-12) }
    parametersLaw = try Fitter(PowerLaw(), options: options).fit(
      FitData(columns: [("C", budgets)], response: curves.map(\.optimum.value), weights: weights))
    tokensLaw = try Fitter(PowerLaw(), options: options).fit(
      FitData(
        columns: [("C", budgets)],
        response: curves.map { $0.budget / flopsPerParameterToken / $0.optimum.value }, weights: weights))
  }

  private static func groups(_ compute: [Double], _ ratio: Double) -> [[Int]] {
    var rest = compute.indices.filter { compute[$0] > 0 }.sorted { compute[$0] < compute[$1] }
    var groups: [[Int]] = []
    while true {
      var best = 0..<0
      var high = 0
      for low in rest.indices {
        while high < rest.count, compute[rest[high]] <= ratio * compute[rest[low]] { high += 1 }
        if high - low > best.count { best = low..<high }
      }
      guard best.count >= 5 else { break }
      groups.append(Array(rest[best]))
      rest.removeSubrange(best)
    }
    return groups.sorted { compute[$0[0]] < compute[$1[0]] }
  }

  private struct Runs {
    let logParameters: [Double]
    let losses: [Double]
    /// ln of each run's compute over the budget.
    let logCompute: [Double]
  }

  private static func parabola(
    _ runs: Runs, _ budget: Double, _ confidence: Double, mayLieOutside: Bool = false
  ) -> Result<Curve, FitError> {
    let (logs, losses) = (runs.logParameters, runs.losses)
    let n = logs.count
    guard n >= 5, Set(logs).count >= 4 else {
      return .failure(
        FitError(.tooFewRows, "\(counted(n, "run")); a parabola with an error needs 5 at 4 sizes"))
    }
    let center = logs.sum() / Double(n)
    let differs = runs.logCompute.contains { abs($0) > 1e-3 } && n >= 7
    let p = differs ? 4 : 3
    var matrix: [Double] = []
    for (l, c) in zip(logs, runs.logCompute) {
      matrix += [1, l - center, (l - center) * (l - center)] + (differs ? [c] : [])
    }
    let factor = TallFactor(matrix, rows: n, p: p, rhs: losses)
    let c = factor.solve()
    guard c[2] > 0 else {
      return .failure(FitError(.noSolution, "the parabola opens downwards: no minimum"))
    }
    let place = -c[1] / (2 * c[2])
    guard let low = logs.min(), let high = logs.max(),
      mayLieOutside || (place + center > low && place + center < high)
    else {
      return .failure(FitError(.noSolution, "the minimum lies outside the sizes that were run"))
    }
    let rss = (0..<n).map { i in
      let r = (0..<p).map { matrix[i * p + $0] * c[$0] }.sum() - losses[i]
      return r * r
    }.sum()
    var covariance = factor.inverseNormal().0
    for k in covariance.elements.indices { covariance.elements[k] *= rss / Double(n - p) }
    let gradient = [0, -1 / (2 * c[2]), c[1] / (2 * c[2] * c[2])] + (differs ? [0] : [])
    let variance = covariance.form(gradient, gradient)
    let error = variance.squareRoot()
    let t = Distributions.tQuantile(confidence, freedom: Double(n - p))
    let best = exponential(place + center)
    return .success(
      Curve(
        budget: budget, logParameters: logs, losses: losses, coefficients: Array(c.prefix(3)), center: center,
        optimum: Interval(
          value: best, standardError: (best * error).finite,
          low: exponential(place + center - t * error).finite,
          high: exponential(place + center + t * error).finite),
        loss: c[0] - c[1] * c[1] / (4 * c[2]), logVariance: variance, logCompute: runs.logCompute))
  }
}
