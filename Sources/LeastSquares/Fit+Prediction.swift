import Basics
import RealModule

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

  /// The same value between other ends: those that hold several laws.
  package func between(
    _ low: Double?, _ high: Double?, curve: (low: Double?, high: Double?)
  ) -> Prediction {
    Prediction(
      x: x, value: value, low: low, high: high, curveLow: curve.low, curveHigh: curve.high,
      extrapolation: extrapolation)
  }
}

extension Fit {
  /// Value, interval of the curve and interval of a new measurement at `x` (in the order of the form).
  ///
  /// The curve, with V the covariance of the moving parameters u and g = ∂f/∂u: f ± t √(gᵀVg), in log space of ln f, so
  /// the ends are multiplied; bootstrap fits take its ends from the resamples. A parameter at a bound, which has no variance,
  /// adds the curve's shift where it lies as far from the bound as the data allow. A new measurement adds the noise σ to
  /// either side of the curve's own interval: f − √((f − low)² + (tσ)²) … f + √((high − f)² + (tσ)²), which holds the
  /// curve's interval whatever its shape and is f ± t √(gᵀVg + σ²) where that is symmetric.
  /// Source: Zou and Donner 2008, limits of a sum from the limits of its parts.
  public func predict(at x: [Double]) -> Prediction {
    var gradient = [Double](repeating: 0, count: theta.count)
    let f = form.evaluate(theta, at: x, gradient: &gradient)
    let center = options.space == .log ? logarithm(f) : f
    guard converged, center.isFinite, let ends = curveEnds(at: x, center, f, gradient) else {
      return Prediction(
        x: x, value: f, low: nil, high: nil, curveLow: nil, curveHigh: nil,
        extrapolation: extrapolation(to: x))
    }
    let noise = quantile * noiseVariance.squareRoot()
    // A quantile interval may lie beside the estimate; then the estimate is its nearer end.
    let below = max(center - ends.low, 0), above = max(ends.high - center, 0)
    let low = min(center - hypotenuse(below, noise), ends.low)
    let high = max(center + hypotenuse(above, noise), ends.high)
    func back(_ v: Double) -> Double? { (options.space == .log ? exponential(v) : v).finite }
    return Prediction(
      x: x, value: f, low: back(low), high: back(high), curveLow: back(ends.low), curveHigh: back(ends.high),
      extrapolation: extrapolation(to: x))
  }

  /// The ends of the curve's interval, in the space of the residuals; nil when the data do not determine it.
  private func curveEnds(
    at x: [Double], _ center: Double, _ f: Double, _ gradient: [Double]
  ) -> (low: Double, high: Double)? {
    let isLog = options.space == .log
    let ends = bootstrap?.percentile(options.confidence) { replicate in
      let value = form.value(replicate, at: x)
      return isLog ? logarithm(value) : value
    }
    if let ends { return widened((ends.low, ends.high), at: x, center, gradient) }
    let g = free.map { gradient[$0] * domains[$0].slope(at: theta[$0]) / (isLog ? f : 1) }
    let isLost = free.indices.contains { covariance[$0, $0] == 0 && g[$0] != 0 }
    let width = quantile * max(covariance.form(g, g), 0).squareRoot()
    return isLost || !width.isFinite
      ? nil : widened((center - width, center + width), at: x, center, gradient)
  }

  /// The curve's ends with what parameters at a bound add, which have no variance: the curve at each one's limit, squares summed.
  private func widened(
    _ ends: (low: Double, high: Double), at x: [Double], _ center: Double, _ gradient: [Double]
  ) -> (low: Double, high: Double)? {
    guard !heldLimits.isEmpty else { return ends }
    var (below, above) = (max(center - ends.low, 0), max(ends.high - center, 0))
    for (j, limit) in heldLimits where gradient[j] != 0 {
      guard let limit else { return nil }
      let value = form.value(limit, at: x)
      let shift = (options.space == .log ? logarithm(value) : value) - center
      guard shift.isFinite else { return nil }
      if shift > 0 { above = hypotenuse(above, shift) } else { below = hypotenuse(below, shift) }
    }
    return (min(ends.low, center - below), max(ends.high, center + above))
  }

  private func hypotenuse(_ a: Double, _ b: Double) -> Double { Double.hypot(a, b) }

  /// The variance of ln f at `x` by the delta method.
  package func logVariance(at x: Double) -> Double {
    var gradient = [Double](repeating: 0, count: theta.count)
    let f = form.evaluate(theta, at: [x], gradient: &gradient)
    let g = free.map { gradient[$0] * domains[$0].slope(at: theta[$0]) / f }
    return max(covariance.form(g, g), 0)
  }

  /// Predictions by variable name.
  ///
  /// - Throws: `FitError` when a variable is missing or unknown, or has a value that the form does not take.
  public func predict(_ values: [String: Double]) throws(FitError) -> Prediction {
    for name in values.keys where !data.names.contains(name) {
      throw FitError(
        .badOption,
        "prediction: no variable '\(shown(name))'; the variables are \(shown(list: data.names))")
    }
    var x: [Double] = []
    for name in data.names {
      guard let value = values[name] else {
        throw FitError(.badOption, "prediction: variable '\(shown(name))' is missing")
      }
      x.append(value)
    }
    let point = try FitData(
      columns: zip(data.names, x).map { ($0, [$1]) }, response: [1], rowWord: "prediction")
    if let problem = form.domainError(on: point) { throw FitError(.badOption, problem) }
    return predict(at: x)
  }

  /// The curve with its bands over values of the only variable.
  public func band(over xs: [Double]) -> [Prediction] { xs.map { predict(at: [$0]) } }

  /// The largest ratio by which a variable lies beyond the data (differences for variables that are not positive).
  public func extrapolation(to x: [Double]) -> Double {
    zip(x, data.columns).map { Fit.reach($0, beyond: $1) }.max() ?? 1
  }

  /// The ratio by which a value lies beyond others: 1 inside.
  package static func reach(_ value: Double, beyond column: [Double]) -> Double {
    guard let low = column.min(), let high = column.max() else { return 1 }
    if value > high { return high > 0 ? value / high : 1 + (value - high) / max(high - low, 1e-300) }
    guard value < low else { return 1 }
    return value > 0 && low > 0 ? low / value : 1 + (low - value) / max(high - low, 1e-300)
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
