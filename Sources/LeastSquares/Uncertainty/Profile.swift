/// The profile of one parameter: the objective with it held and the others free.
///
/// The interval holds the values at which the objective has risen by less than the quantile allows: for squares
/// RSS(θ) − RSS ≤ s² t², otherwise 2(F(θ) − F)/s ≤ χ² with s the scale of the loss's own likelihood. It follows
/// curved and flat directions that the covariance does not see; an end that is never reached is nil.
struct Profile {
  private let refitter: Refitter
  private let fit: Fit
  private let threshold: Double

  init(_ fit: Fit) {
    self.fit = fit
    refitter = Refitter(fit)
    switch fit.options.loss {
    case .squares:
      threshold = 0.5 * fit.noiseVariance * fit.quantile * fit.quantile
    default:
      let problem = Problem(
        form: fit.form, data: fit.data, space: fit.options.space, loss: fit.options.loss,
        domains: fit.domains,
        free: fit.free, base: fit.theta)
      let scale = Likelihood(problem, residuals: fit.residuals, knownVariance: false).scale
      threshold = 0.5 * scale * Distributions.chiSquareQuantile(fit.options.confidence, freedom: 1)
    }
  }

  /// The ends for parameter `j`; complexity some tens of refits.
  func interval(of j: Int, standardError: Double) -> (low: Double?, high: Double?) {
    (end(of: j, direction: -1, width: standardError), end(of: j, direction: 1, width: standardError))
  }

  private func end(of j: Int, direction: Double, width: Double) -> Double? {
    guard let center = fit.domains[j].image(of: fit.theta[j]), width > 0, width.isFinite else { return nil }
    var theta = fit.theta
    let distance = reach(fit.quantile * width) { distance in
      theta[j] = fit.domains[j].value(of: center + direction * distance)
      return rise(&theta, holding: j)
    }
    return distance.map { fit.domains[j].value(of: center + direction * $0) }
  }

  /// All parameters where one that is held at an end of its domain lies as far from it as the data allow, the others refitted:
  /// the interval's other end. `nil`: it may lie as far as its domain goes, or the data are fitted exactly.
  /// - Parameter j: the parameter that is held.
  func limit(ofHeld j: Int) -> [Double]? {
    let end = fit.theta[j], domain = fit.domains[j]
    let direction: Double = domain.ends.high == end ? -1 : 1
    guard threshold > 0, let first = step(ofHeld: j) else { return nil }
    var theta = fit.theta
    func riseAt(_ distance: Double) -> Double? {
      theta[j] = end + direction * distance
      guard domain.image(of: theta[j]) != nil else { return nil }
      return rise(&theta, holding: j) ?? riseWithOneMoreAtEnd(&theta, holding: j)
    }
    guard let distance = reach(first, riseAt), riseAt(distance) != nil else { return nil }
    return theta
  }

  /// How far a held parameter moves until the objective has risen by the threshold, were the others held too and the rise a
  /// parabola.
  private func step(ofHeld j: Int) -> Double? {
    var domains = fit.domains
    domains[j] = .real
    let problem = Problem(
      form: fit.form, data: fit.data, space: fit.options.space, loss: fit.options.loss, domains: domains,
      free: [j], base: fit.theta)
    var r = [Double](repeating: 0, count: problem.rows)
    var jacobian = r
    guard problem.residuals(at: [fit.theta[j]], &r, jacobian: &jacobian) else { return nil }
    let square = zip(problem.weights, jacobian).map { $0 * $1 * $1 }.sum()
    let step = (2 * threshold / square).squareRoot()
    return step.isFinite && step > 0 ? step : nil
  }

  /// The same where another parameter runs into the end of its domain meanwhile, so that no optimum is inside: it is held there.
  private func riseWithOneMoreAtEnd(_ theta: inout [Double], holding j: Int) -> Double? {
    var best: (rise: Double, theta: [Double])?
    for other in fit.free where other != j {
      let ends = fit.domains[other].ends
      for end in [ends.low, ends.high].compactMap(\.self) {
        var trial = fit.theta
        (trial[j], trial[other]) = (theta[j], end)
        guard let found = rise(&trial, holding: j, other), found < best?.rise ?? .infinity else { continue }
        best = (found, trial)
      }
    }
    if let best { theta = best.theta }
    return best?.rise
  }

  /// The square root of the rise over the threshold with some parameters where `theta` has them and the others refitted, which it
  /// then has: 1 at the end, nearly straight in between.
  private func rise(_ theta: inout [Double], holding held: Int...) -> Double? {
    var base = refitter.theta
    for j in held {
      guard theta[j].isFinite else { return nil }
      base[j] = theta[j]
    }
    let problem = Problem(
      form: fit.form, data: fit.data, space: fit.options.space, loss: fit.options.loss, domains: fit.domains,
      free: fit.free.filter { !held.contains($0) }, base: base)
    guard let found = Refitter(fit, start: theta).refit(problem) else { return nil }
    theta = found.theta
    return (max(found.objective - fit.objective, 0) / threshold).squareRoot()
  }

  /// The distance at which the rise is 1: outwards until it is passed, then by false position on a nearly straight line.
  private func reach(_ first: Double, _ rise: (Double) -> Double?) -> Double? {
    var inside = 0.0
    var insideRise = 0.0
    var step = first
    for _ in 0..<25 {
      let distance = inside + step
      guard let value = rise(distance) else { return nil }
      if value >= 1 { return close((inside, insideRise), (distance, value), rise) }
      let slope = (value - insideRise) / step
      inside = distance
      insideRise = value
      let needed = slope > 0 ? (1 - value) / slope : 2 * step
      step = min(max(1.1 * needed, 0.05 * first), 2 * distance)
    }
    return nil
  }

  private func close(
    _ inside: (Double, Double), _ outside: (Double, Double), _ rise: (Double) -> Double?
  ) -> Double? {
    var (low, high) = (inside, outside)
    for _ in 0..<40 {
      var middle = low.0 + (1 - low.1) / (high.1 - low.1) * (high.0 - low.0)
      let margin = 0.02 * (high.0 - low.0)
      middle = min(max(middle, low.0 + margin), high.0 - margin)
      guard let value = rise(middle) else { return nil }
      if value >= 1 { high = (middle, value) } else { low = (middle, value) }
      if abs(value - 1) < 1e-7 || high.0 - low.0 < 1e-9 * abs(high.0) { return middle }
    }
    return 0.5 * (low.0 + high.0)
  }
}

extension Refitter {
  /// The same refits from another start.
  init(_ fit: Fit, start: [Double]) {
    form = fit.form
    options = fit.options
    data = fit.data
    domains = fit.domains
    free = fit.free
    theta = start
  }
}
