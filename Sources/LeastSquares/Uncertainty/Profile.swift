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
    /// The square root of the rise over the threshold: 1 at the end, nearly straight in between.
    func rise(_ u: Double) -> Double? {
      theta[j] = fit.domains[j].value(of: u)
      guard theta[j].isFinite else { return nil }
      let others = fit.free.filter { $0 != j }
      var base = refitter.theta
      base[j] = theta[j]
      let problem = Problem(
        form: fit.form, data: fit.data, space: fit.options.space, loss: fit.options.loss,
        domains: fit.domains,
        free: others, base: base)
      var start = theta
      start[j] = base[j]
      guard let found = Refitter(fit, start: start).refit(problem) else { return nil }
      theta = found.theta
      return (max(found.objective - fit.objective, 0) / threshold).squareRoot()
    }
    let quantile = fit.quantile
    var inside = 0.0
    var insideRise = 0.0
    var step = quantile * width
    // Outwards until the threshold is passed, then the place by false position on a nearly straight line.
    for _ in 0..<25 {
      let distance = inside + step
      guard let value = rise(center + direction * distance) else { return nil }
      if value >= 1 {
        return close(center, direction, (inside, insideRise), (distance, value), j, rise)
      }
      let slope = (value - insideRise) / step
      inside = distance
      insideRise = value
      let needed = slope > 0 ? (1 - value) / slope : 2 * step
      step = min(max(1.1 * needed, 0.05 * quantile * width), 2 * distance)
    }
    return nil
  }

  private func close(
    _ center: Double, _ direction: Double, _ inside: (Double, Double), _ outside: (Double, Double), _ j: Int,
    _ rise: (Double) -> Double?
  ) -> Double? {
    var (low, high) = (inside, outside)
    for _ in 0..<40 {
      var middle = low.0 + (1 - low.1) / (high.1 - low.1) * (high.0 - low.0)
      let margin = 0.02 * (high.0 - low.0)
      middle = min(max(middle, low.0 + margin), high.0 - margin)
      guard let value = rise(center + direction * middle) else { return nil }
      if value >= 1 { high = (middle, value) } else { low = (middle, value) }
      if abs(value - 1) < 1e-7 || high.0 - low.0 < 1e-9 * abs(high.0) {
        return fit.domains[j].value(of: center + direction * middle)
      }
    }
    return fit.domains[j].value(of: center + direction * 0.5 * (low.0 + high.0))
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
