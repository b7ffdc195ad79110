import Basics

/// Where residuals are taken.
public enum FitSpace: String, Sendable, CaseIterable {
  /// r = ln f − ln y: relative errors.
  case log
  /// r = f − y.
  case raw
}

/// What is summed over residuals.
public enum Loss: Sendable, Equatable {
  /// ½ r².
  case squares
  /// ½ r² up to δ, then δ(|r| − ½δ).
  case huber(delta: Double)
  /// |r|.
  case absolute

  /// `squares`, `huber` or `absolute`.
  public var name: String {
    switch self {
    case .squares: "squares"
    case .huber: "huber"
    case .absolute: "absolute"
    }
  }
  /// δ of the Huber loss, nil for others.
  public var delta: Double? { if case .huber(let delta) = self { delta } else { nil } }
}

/// How intervals are found.
public enum IntervalMethod: String, Sendable, CaseIterable {
  /// Student's t on the scale on which the parameter is moved, from the covariance at the optimum.
  case wald
  /// The values at which the profile likelihood has fallen by the t-quantile.
  case profile
  /// Quantiles of bootstrap refits.
  case percentile
  /// Bootstrap quantiles corrected for bias and acceleration.
  case bca
  /// Normal interval from the sandwich covariance, clustered when clusters are given.
  case sandwich
}

/// Everything about a fit except the form and the data.
public struct FitOptions: Sendable {
  /// Where residuals are taken.
  public var space: FitSpace = .log
  /// What is summed.
  public var loss: Loss = .squares
  /// The interval method; nil chooses: profile for squares, sandwich for robust losses, percentile when resamples are asked for.
  public var interval: IntervalMethod?
  /// The probability of intervals.
  public var confidence = 0.95
  /// The width of the multi-start search: how many of the ranked starting points are followed to their minimum.
  public var starts = 12
  /// Start values by parameter name; the others come from the form.
  public var start: [String: Double] = [:]
  /// Only the given start is followed when it names every parameter.
  public var onlyGivenStart = false
  /// Domains that replace the form's own, by parameter name.
  public var domains: [String: Domain] = [:]
  /// Parameters held at a value.
  public var fixed: [String: Double] = [:]
  /// How many rows with the largest response are dropped before fitting.
  public var dropLargest = 0
  /// Bootstrap refits; 0 for none.
  public var resamples = 0
  /// The seed of resampling, which draws as NumPy does; 42 is that of the published replication of Chinchilla.
  public var seed: UInt64 = 42
  /// Threads for resampling; 0 for all cores.
  public var threads = 0
  /// The number that `threads` stands for.
  package var workers: Int { threads > 0 ? threads : Parallel.processorCount }
  /// Whether weights are 1/σ² with σ known, so that the covariance is not rescaled by the residuals.
  public var weightsAreInverseVariances = false
  /// Predictions farther than this ratio beyond the data get a warning.
  public var extrapolationRatio = 4.0
  /// Whether leave-one-out influence is computed.
  public var influence = true

  /// Log space, least squares, everything else by default.
  public init(space: FitSpace = .log, loss: Loss = .squares) {
    self.space = space
    self.loss = loss
  }
}
