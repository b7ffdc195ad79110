extension Fit {
  /// Replaces the Wald intervals by those of the method asked for.
  mutating func addIntervals() {
    if options.resamples > 0 {
      let bootstrap = Bootstrap(
        self, resamples: options.resamples, seed: options.seed, threads: options.workers)
      self.bootstrap = bootstrap
      if bootstrap.failures > 0 {
        warn(
          "bootstrap-failures",
          "\(bootstrap.failures) of \(options.resamples) resamples could not be fitted and are left out")
      }
    }
    switch options.interval ?? defaultInterval {
    case .wald: break
    case .profile: addProfiles()
    case .sandwich: addSandwich()
    case .percentile: addPercentiles(accelerated: false)
    case .bca: addPercentiles(accelerated: true)
    }
    addHeldLimits()
  }

  /// The other ends of parameters at a bound: how far from it the data let them be.
  private mutating func addHeldLimits() {
    let held = parameters.indices.filter { parameters[$0].interval == "at-bound" }
    guard converged, !held.isEmpty else { return }
    let profile = Profile(self)
    heldLimits = held.map { ($0, profile.limit(ofHeld: $0)) }
    for (j, limit) in heldLimits {
      guard let limit else { continue }
      if parameters[j].low == nil {
        parameters.estimates[j].low = limit[j]
      } else {
        parameters.estimates[j].high = limit[j]
      }
    }
  }

  private var defaultInterval: IntervalMethod {
    if options.resamples > 0 { return .percentile }
    if options.loss != .squares || data.clusters != nil { return .sandwich }
    return data.count <= 2000 ? .profile : .wald
  }

  private func isEstimated(_ k: Int) -> Bool { parameters.estimates[free[k]].interval != "not-identified" }

  private mutating func addProfiles() {
    guard converged else { return }
    let profile = Profile(self)
    let interval = IntervalMethod.profile.rawValue
    let ends = free.indices.map { k -> (low: Double?, high: Double?)? in
      // Data that the law fits exactly leave no width to search.
      guard isEstimated(k), covariance[k, k] > 0 else { return nil }
      return profile.interval(of: free[k], standardError: covariance[k, k].squareRoot())
    }
    for k in free.indices {
      guard let ends = ends[k] else { continue }
      parameters.estimates[free[k]].low = ends.low
      parameters.estimates[free[k]].high = ends.high
      parameters.estimates[free[k]].interval = interval
      if ends.low == nil || ends.high == nil {
        let side = ends.low == nil ? (ends.high == nil ? "both sides" : "the low side") : "the high side"
        warn(
          "open-interval",
          "\(parameters.estimates[free[k]].name) is not bounded by the data on \(side)")
      }
    }
  }

  private mutating func addSandwich() {
    let problem = Problem(
      form: form, data: data, space: options.space, loss: options.loss, domains: domains, free: free,
      base: theta)
    guard let u = problem.image(theta),
      let robust = Sandwich(problem, at: u, clusters: data.clusters).covariance
    else { return }
    covariance = robust
    // Clusters, not rows, are what is independent.
    let groups = data.clusters.map { Set($0).count - 1 } ?? degreesOfFreedom
    let t = Distributions.tQuantile(options.confidence, freedom: Double(max(groups, 1)))
    for k in free.indices where isEstimated(k) {
      let j = free[k]
      let error = robust[k, k].squareRoot()
      guard error.isFinite, let u = domains[j].image(of: theta[j]) else { continue }
      let (low, high) = (domains[j].value(of: u - t * error), domains[j].value(of: u + t * error))
      parameters.estimates[j].standardError = error * abs(domains[j].slope(at: theta[j]))
      parameters.estimates[j].low = low.isFinite ? low : nil
      parameters.estimates[j].high = high.isFinite ? high : nil
      parameters.estimates[j].interval = IntervalMethod.sandwich.rawValue
    }
  }

  private mutating func addPercentiles(accelerated: Bool) {
    guard let bootstrap else {
      warn("no-resamples", "an interval from resampling was asked for with no resamples; it is not given")
      return
    }
    let jackknife = accelerated ? Jackknife(self, byCluster: true).estimates.compactMap { $0 } : []
    for k in free.indices where isEstimated(k) {
      let j = free[k]
      guard let plain = bootstrap.percentile(options.confidence, { $0[j] }) else { continue }
      parameters.estimates[j].standardError = plain.standardError
      parameters.estimates[j].low = plain.low
      parameters.estimates[j].high = plain.high
      parameters.estimates[j].interval = IntervalMethod.percentile.rawValue
      guard accelerated,
        let ends = bootstrap.accelerated(
          options.confidence, estimate: theta[j], jackknife: jackknife.map { $0[j] }, { $0[j] })
      else { continue }
      parameters.estimates[j].low = ends.low
      parameters.estimates[j].high = ends.high
      parameters.estimates[j].interval = IntervalMethod.bca.rawValue
    }
  }
}
