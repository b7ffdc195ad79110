import Basics

/// How often intervals cover a known truth: data are made from a law on a design, fitted, and compared.
///
/// The honest test of an interval method for a given design of sizes, noise and law: a 95 % interval should cover in
/// 95 % of the replications. Used on the law's own estimates it says whether the intervals of a fit can be believed.
public struct CoverageCheck: Sendable {
  /// What became of one parameter.
  public struct Coverage: Sendable, Equatable {
    /// The parameter.
    public let name: String
    /// Intervals that held the truth; an open end holds everything on its side.
    public var covered = 0
    /// Intervals that lay above the truth.
    public var above = 0
    /// Intervals that lay below the truth.
    public var below = 0
    /// Replications without an interval for it.
    public var missing = 0

    /// The share of intervals that held the truth.
    public var share: Double { Double(covered) / Double(max(1, covered + above + below)) }
  }
  /// The parameters in the order of the form.
  public let parameters: [Coverage]
  /// Replications that gave no fit.
  public let failures: Int
  /// Replications.
  public let replications: Int

  /// Replicates a design.
  ///
  /// - Parameters:
  ///   - form: the law.
  ///   - theta: the truth.
  ///   - design: the rows; responses are replaced.
  ///   - noise: the standard deviation of the normal noise, of ln y in log space.
  ///   - options: how each replication is fitted.
  ///   - replications: how many there are.
  ///   - seed: of the noise.
  /// - Complexity: one fit, with its intervals, per replication, on all cores.
  public init(
    form: any ScalingForm, theta: [Double], design: FitData, noise: Double, options: FitOptions,
    replications: Int, seed: UInt64 = 1
  ) {
    var own = options
    own.influence = false
    own.threads = 1
    own.dropLargest = 0
    let fitter = Fitter(form, options: own)
    let clean = (0..<design.count).map { i in form.value(theta, at: design.columns.map { $0[i] }) }
    let fits = Parallel.map(count: replications, threads: options.workers) { k -> [Double?]? in
      var generator = SeededGenerator(seed: seed, stream: UInt64(k) + 1)
      let y = clean.indices.map { i in
        let scale = noise / (design.weights?[i] ?? 1).squareRoot()
        return options.space == .log
          ? clean[i] * exponential(scale * generator.normal()) : clean[i] + scale * generator.normal()
      }
      guard let fit = try? fitter.fit(FitData(design, response: y)), fit.converged else { return nil }
      // Low and high of each parameter, open ends as infinities, nil where there is no interval.
      return fit.parameters.flatMap { p -> [Double?] in
        guard p.value != nil, p.low != nil || p.high != nil || p.interval == "profile" else {
          return [nil, nil]
        }
        return [p.low ?? -.infinity, p.high ?? .infinity]
      }
    }
    self.replications = replications
    failures = fits.filter { $0 == nil }.count
    var coverage = form.parameters.map { Coverage(name: $0.name) }
    for ends in fits.compactMap({ $0 }) {
      for j in coverage.indices {
        guard let low = ends[2 * j], let high = ends[2 * j + 1] else {
          coverage[j].missing += 1
          continue
        }
        if theta[j] < low {
          coverage[j].above += 1
        } else if theta[j] > high {
          coverage[j].below += 1
        } else {
          coverage[j].covered += 1
        }
      }
    }
    parameters = coverage
  }

  /// The design of a fit with its own estimates and noise as the truth.
  public init(_ fit: Fit, replications: Int, seed: UInt64 = 1) {
    self.init(
      form: fit.form, theta: fit.theta, design: fit.data, noise: fit.noiseVariance.squareRoot(),
      options: fit.options, replications: replications, seed: seed)
  }
}
