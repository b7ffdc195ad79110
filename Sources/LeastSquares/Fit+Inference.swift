extension Fit {
  /// Covariance, likelihood and intervals at the minimum that a search found.
  init(_ found: Search.Found, form: any ScalingForm, options: FitOptions, data: FitData, droppedRows: [Int]) {
    let problem = Problem(
      form: form, data: data, space: options.space, loss: options.loss, domains: found.domains,
      free: found.free,
      base: found.theta)
    let n = data.count
    let p = found.free.count
    let u = problem.image(found.theta) ?? []
    var r = [Double](repeating: 0, count: n)
    var jacobian = [Double](repeating: 0, count: n * p)
    problem.residuals(at: u, &r, jacobian: &jacobian)
    let rss = zip(problem.weights, r).map { $0 * $1 * $1 }.sum()
    let freedom = n - p
    let variance = options.weightsAreInverseVariances ? 1 : rss / Double(max(freedom, 1))

    var weighted = jacobian
    for i in 0..<n {
      let root = problem.weights[i].squareRoot()
      for k in 0..<p { weighted[i * p + k] *= root }
    }
    let factor = TallFactor(weighted, rows: n, p: p)
    var (covariance, lost) = factor.inverseNormal()
    // What moves no fitted value by more than its rounding is not determined, however small the residuals are: the
    // exponent of a term that a constant response has driven to nothing.
    let sizes = zip(problem.weights, problem.target).map { weight, value in
      let size = options.space == .log ? max(1, abs(value)) : abs(value)
      return weight * size * size
    }
    let rounding = 8 * Double.ulpOfOne * sizes.sum().squareRoot()
    for (k, j) in found.free.enumerated() {
      // Moved by one on its moving scale (by a factor e where that is logarithmic), or by itself.
      let slope = found.domains[j].slope(at: found.theta[j])
      let own = slope != 0 ? abs(found.theta[j] / slope) : 1
      if factor.norms[k] * max(1, own) <= rounding { lost[k] = true }
    }
    for k in covariance.elements.indices { covariance.elements[k] *= variance }
    if options.loss != .squares, let robust = Sandwich(problem, at: u).covariance { covariance = robust }
    for k in 0..<p where lost[k] { for m in 0..<p { (covariance[k, m], covariance[m, k]) = (0, 0) } }

    let objective = problem.objective(r)
    let likelihood = Likelihood(problem, residuals: r, knownVariance: options.weightsAreInverseVariances)
    let k = Double(p + (options.weightsAreInverseVariances ? 0 : 1))

    self.form = form
    self.options = options
    self.data = data
    self.droppedRows = droppedRows
    theta = found.theta
    self.objective = objective
    self.rss = rss
    residuals = r
    degreesOfFreedom = freedom
    logLikelihood = likelihood.value
    aicc = Double(n) - k - 1 > 0 ? -2 * likelihood.value + 2 * k + 2 * k * (k + 1) / (Double(n) - k - 1) : nil
    bic = -2 * likelihood.value + k * logarithm(Double(n))
    starts = found.starts
    startsAtBest = found.startsAtBest
    distinctMinima = found.distinctMinima
    converged = found.converged
    self.covariance = covariance
    free = found.free
    domains = found.domains
    noiseVariance = variance
    conditionNumber = p == 0 ? 1 : factor.condition.isFinite && !lost.contains(true) ? factor.condition : nil
    let known = (0..<p).filter { !lost[$0] && covariance[$0, $0] > 0 }
    correlationNames = known.map { form.parameters[found.free[$0]].name }
    correlation = known.map { a in
      known.map { b in
        a == b ? 1 : covariance[a, b] / (covariance[a, a] * covariance[b, b]).squareRoot()
      }
    }
    warnings = []
    parameters = ParameterTable(estimates: [])
    parameters = ParameterTable(
      estimates: form.parameters.indices.map { j in
        let name = form.parameters[j].name
        let value = found.theta[j]
        if found.atBound.contains(j) {
          let isUpper = found.domains[j].ends.high == value
          return ParameterEstimate(
            name: name, value: value, standardError: nil, low: isUpper ? nil : value,
            high: isUpper ? value : nil, interval: "at-bound")
        }
        guard let k = found.free.firstIndex(of: j) else {
          return ParameterEstimate(
            name: name, value: value, standardError: nil, low: value, high: value, interval: "fixed")
        }
        return waldEstimate(name, j, k, lost[k])
      })
  }

  /// Student's t on the moving scale, brought back to the parameter's own.
  private func waldEstimate(_ name: String, _ j: Int, _ k: Int, _ lost: Bool) -> ParameterEstimate {
    let error = covariance[k, k].squareRoot()
    guard !lost, error.isFinite, let u = domains[j].image(of: theta[j]) else {
      return ParameterEstimate(
        name: name, value: nil, standardError: nil, low: nil, high: nil, interval: "not-identified")
    }
    func end(_ image: Double) -> Double? {
      let value = domains[j].value(of: image)
      return value.isFinite ? value : nil
    }
    let natural = error * abs(domains[j].slope(at: theta[j]))
    return ParameterEstimate(
      name: name, value: theta[j], standardError: natural.isFinite ? natural : nil,
      low: end(u - quantile * error), high: end(u + quantile * error),
      interval: options.loss == .squares ? "wald" : "sandwich")
  }
}

/// The log-likelihood of the error model that a loss stands for, at its best scale.
///
/// Squares: normal, −n/2 (ln(2π RSS/n) + 1) + ½ Σ ln w. Absolute: Laplace. Huber: density ∝ exp(−ρ(r)/s), whose
/// normalising constant is Z(s) = √(2πs) erf(δ/√(2s)) + (2s/δ) exp(−δ²/2s).
struct Likelihood {
  let value: Double
  /// The scale s of exp(−ρ/s); for squares the variance.
  let scale: Double

  init(_ problem: Problem, residuals: [Double], knownVariance: Bool) {
    let n = Double(problem.rows)
    let total = max(problem.objective(residuals), 1e-300)
    let logWeights = problem.weights.map(logarithm).sum()
    switch problem.loss {
    case .squares:
      let s = knownVariance ? 1 : 2 * total / n
      value = -0.5 * n * logarithm(2 * .pi * s) - total / s + 0.5 * logWeights
      scale = s
    case .absolute:
      let s = total / n
      value = -n * logarithm(2 * s) - n + logWeights
      scale = s
    case .huber(let delta):
      func constant(_ s: Double) -> Double {
        let core = (2 * .pi * s).squareRoot() * Double.erf(delta / (2 * s).squareRoot())
        return core + 2 * s / delta * exponential(-delta * delta / (2 * s))
      }
      func loss(_ logS: Double) -> Double {
        let s = exponential(logS)
        return total / s + n * logarithm(constant(s))
      }
      var (low, high) = (logarithm(total / n) - 8, logarithm(total / n) + 8)
      for _ in 0..<120 {
        let (a, b) = (low + 0.382 * (high - low), low + 0.618 * (high - low))
        if loss(a) < loss(b) { high = b } else { low = a }
      }
      value = -loss(0.5 * (low + high))
      scale = exponential(0.5 * (low + high))
    }
  }
}
