import Basics

/// What a fit says about one point.
public struct Prediction: Sendable, Equatable {
  /// The variables, in the order of the form.
  public let x: [Double]
  /// The fitted value.
  public let value: Double
  /// The interval in which a new measurement lies; nil when it cannot be given.
  public let low: Double?
  /// The upper end for a new measurement.
  public let high: Double?
  /// The interval of the curve itself.
  public let curveLow: Double?
  /// The upper end for the curve itself.
  public let curveHigh: Double?
  /// How far outside the data the point is: 1 inside, 4 when a variable is four times beyond the nearest end.
  public let extrapolation: Double
}

extension Fit {
  /// Value, interval of the curve and interval of a new measurement at `x` (in the order of the form).
  ///
  /// With V the covariance of the moving parameters u, g = ∂f/∂u and σ² the noise: f ± t √(gᵀVg) for the
  /// curve and f ± t √(gᵀVg + σ²) for a measurement; in log space of ln f, so the ends are multiplied.
  /// Bootstrap fits take the curve from the resamples instead.
  public func predict(at x: [Double]) -> Prediction {
    var gradient = [Double](repeating: 0, count: theta.count)
    let f = form.evaluate(theta, at: x, gradient: &gradient)
    var g = free.map { gradient[$0] * domains[$0].slope(at: theta[$0]) }
    let isLog = options.space == .log
    if isLog { g = g.map { $0 / f } }
    var curve = covariance.form(g, g)
    var center = isLog ? logarithm(f) : f
    let lost = free.indices.contains { covariance[$0, $0] == 0 && g[$0] != 0 }
    var t = quantile
    var curveEnds: (Double, Double)?
    if let bootstrap {
      let values = bootstrap.replicates.map { replicate in
        let value = form.value(replicate, at: x)
        return isLog ? logarithm(value) : value
      }.filter(\.isFinite).sorted()
      if values.count > 20 {
        let tail = 0.5 * (1 - options.confidence)
        let sd = standardDeviation(values)
        curve = sd * sd
        t = Distributions.normalQuantile(1 - tail)
        curveEnds = (Quantiles.ofSorted(values, tail), Quantiles.ofSorted(values, 1 - tail))
      }
    }
    guard center.isFinite, curve.isFinite, !lost || curveEnds != nil, converged else {
      return Prediction(
        x: x, value: f, low: nil, high: nil, curveLow: nil, curveHigh: nil,
        extrapolation: extrapolation(to: x))
    }
    let inner = t * max(curve, 0).squareRoot()
    let outer = t * (max(curve, 0) + noiseVariance).squareRoot()
    let ends = curveEnds ?? (center - inner, center + inner)
    if center.isNaN { center = 0 }
    func back(_ v: Double) -> Double? {
      let value = isLog ? exponential(v) : v
      return value.isFinite ? value : nil
    }
    return Prediction(
      x: x, value: f, low: back(center - outer), high: back(center + outer), curveLow: back(ends.0),
      curveHigh: back(ends.1), extrapolation: extrapolation(to: x))
  }

  /// Predictions by variable name.
  ///
  /// - Throws: `FitError` when a variable is missing or unknown.
  public func predict(_ values: [String: Double]) throws(FitError) -> Prediction {
    for name in values.keys where !data.names.contains(name) {
      throw FitError(
        .badOption,
        "prediction: no variable '\(name)'; the variables are \(data.names.joined(separator: ", "))")
    }
    var x: [Double] = []
    for name in data.names {
      guard let value = values[name] else {
        throw FitError(.badOption, "prediction: variable '\(name)' is missing")
      }
      x.append(value)
    }
    return predict(at: x)
  }

  /// The curve with its bands over values of the only variable.
  public func band(over xs: [Double]) -> [Prediction] { xs.map { predict(at: [$0]) } }

  /// The largest ratio by which a variable lies beyond the data (differences for variables that are not positive).
  public func extrapolation(to x: [Double]) -> Double {
    var worst = 1.0
    for (value, column) in zip(x, data.columns) {
      guard let low = column.min(), let high = column.max() else { continue }
      if value > high {
        worst = max(worst, high > 0 ? value / high : 1 + (value - high) / max(high - low, 1e-300))
      } else if value < low {
        worst = max(worst, value > 0 && low > 0 ? low / value : 1 + (low - value) / max(high - low, 1e-300))
      }
    }
    return worst
  }

  /// The local slope d ln f / d ln x of a one-variable fit, with its interval by the delta method.
  public func localSlope(at x: Double) -> (value: Double, low: Double, high: Double) {
    let step = 1e-4
    func slope(_ theta: [Double]) -> Double {
      let up = form.value(theta, at: [x * exponential(step)])
      let down = form.value(theta, at: [x * exponential(-step)])
      return (logarithm(up) - logarithm(down)) / (2 * step)
    }
    let interval = derived(slope)
    return (interval.value, interval.low, interval.high)
  }

  /// A function of the parameters with its interval: from the resamples when there are any, else by the delta
  /// method on the scale on which the parameters move.
  public func derived(_ function: ([Double]) -> Double) -> (
    value: Double, standardError: Double, low: Double, high: Double
  ) {
    let value = function(theta)
    if let bootstrap {
      if let found = bootstrap.percentile(options.confidence, function) {
        return (value, found.standardError, found.low, found.high)
      }
    }
    let g = free.enumerated().map { k, j -> Double in
      guard let u = domains[j].image(of: theta[j]), covariance[k, k] > 0 else { return 0 }
      // A small part of a standard error, which is the scale on which the function is wanted.
      let width = min(1e-3 * covariance[k, k].squareRoot(), max(1e-4, 1e-4 * abs(u)))
      var up = theta
      var down = theta
      up[j] = domains[j].value(of: u + width)
      down[j] = domains[j].value(of: u - width)
      return (function(up) - function(down)) / (2 * width)
    }
    let error = max(covariance.form(g, g), 0).squareRoot()
    return (value, error, value - quantile * error, value + quantile * error)
  }
}
