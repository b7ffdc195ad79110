/// One parameter of a fit. What is not identified is nil, never zero.
public struct ParameterEstimate: Sendable, Equatable {
  /// Its name.
  public let name: String
  /// The estimate; nil when the data do not determine it.
  public var value: Double?
  /// Its standard error; nil when held, at a bound, or not determined.
  public var standardError: Double?
  /// The lower end of the interval; nil when open.
  public var low: Double?
  /// The upper end of the interval; nil when open.
  public var high: Double?
  /// How the interval was found: `wald`, `profile`, `percentile`, `bca`, `sandwich`, `fixed`, `at-bound` or `not-identified`.
  public var interval: String
}

/// The parameters of a fit in the order of the form.
public struct ParameterTable: Sendable, Equatable, RandomAccessCollection {
  var estimates: [ParameterEstimate]
  /// The first index.
  public var startIndex: Int { 0 }
  /// One past the last index.
  public var endIndex: Int { estimates.count }
  /// The parameter at a place.
  public subscript(index: Int) -> ParameterEstimate { estimates[index] }
  /// The parameter of a name.
  public subscript(name: String) -> ParameterEstimate? { estimates.first { $0.name == name } }
}

/// A fitted law: estimates with their intervals, what the search found, and what to beware of.
public struct Fit: Sendable {
  /// The law.
  public let form: any ScalingForm
  /// How it was fitted.
  public let options: FitOptions
  /// The rows used.
  public let data: FitData
  /// Numbers of the rows dropped because the options asked for it.
  public let droppedRows: [Int]
  /// The estimates in the order of the form, also where `parameters` says nil.
  public let theta: [Double]
  /// The estimates with their intervals.
  public internal(set) var parameters: ParameterTable
  /// The summed loss in the chosen space.
  public let objective: Double
  /// The weighted sum of squared residuals in the chosen space.
  public let rss: Double
  /// Residuals f − y or ln f − ln y, in the order of `data`.
  public let residuals: [Double]
  /// Rows minus free parameters.
  public let degreesOfFreedom: Int
  /// The error model's log-likelihood at its maximum.
  public let logLikelihood: Double
  /// Akaike's criterion corrected for few rows; nil when there are too few for the correction.
  public let aicc: Double?
  /// The Bayesian criterion.
  public let bic: Double
  /// Starting points that the multi-start search followed.
  public let starts: Int
  /// Those of them that ended in the best minimum.
  public let startsAtBest: Int
  /// Different minima among the starts that converged.
  public let distinctMinima: Int
  /// Whether the best point is an optimum: the step still to go is below 1e-4 standard errors.
  public let converged: Bool
  /// Correlations of the free parameters on the scale on which they move, `[free][free]`.
  public let correlation: [[Double]]
  /// Names of the free, identified parameters, the order of `correlation`.
  public let correlationNames: [String]
  /// Largest over smallest singular value of the Jacobian with columns of length one; nil when dependent.
  public let conditionNumber: Double?
  /// What to beware of.
  public internal(set) var warnings: [FitWarning]
  /// The bootstrap, when one was asked for.
  public internal(set) var bootstrap: Bootstrap?
  /// What single rows do to the estimates, when asked for.
  public internal(set) var influence: Influence?

  /// The covariance of the free parameters in their unbounded coordinates.
  var covariance: Matrix
  /// Indices of the parameters that moved.
  package let free: [Int]
  let domains: [Domain]
  /// For each parameter at a bound all parameters where it lies as far from it as the data allow; `nil` for what the data do not
  /// bound.
  var heldLimits: [(parameter: Int, theta: [Double]?)] = []
  /// Noise variance of a row of weight one, in the chosen space.
  let noiseVariance: Double

  /// The fitted value at one row of variables.
  public func value(at x: [Double]) -> Double { form.value(theta, at: x) }

  /// Student's t for the fit's confidence and freedom.
  var quantile: Double {
    if options.weightsAreInverseVariances {
      return Distributions.normalQuantile(0.5 + 0.5 * options.confidence)
    }
    return Distributions.tQuantile(options.confidence, freedom: Double(max(degreesOfFreedom, 1)))
  }
}

extension Fit: CustomStringConvertible {
  /// One line: the law with its estimates.
  public var description: String {
    let list = parameters.map { "\($0.name) = \($0.value.map { "\($0)" } ?? "not identified")" }
    return "\(form.formula) with \(list.joined(separator: ", "))"
  }
}
