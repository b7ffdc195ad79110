import LeastSquares

/// A value with its interval; an end is nil when the data leave it open.
public struct Interval: Sendable, Equatable {
  /// The estimate.
  public let value: Double
  /// Its standard error, when there is one.
  public let standardError: Double?
  /// The lower end.
  public let low: Double?
  /// The upper end.
  public let high: Double?
}

/// The sizes that a law says are best for a budget of compute.
public struct Allocation: Sendable, Equatable {
  /// C in floating-point operations.
  public let budget: Double
  /// k in C = k·N·D.
  public let flopsPerParameterToken: Double
  /// Parameters.
  public let parameters: Interval
  /// Tokens.
  public let tokens: Interval
  /// The loss there.
  public let loss: Interval
  /// a in N ∝ C^a at this budget.
  public let exponent: Interval
  /// How far the budget lies beyond the compute of the rows: 1 inside, 100 at a hundred times the largest.
  public let extrapolation: Double
}

extension Fit {
  /// The N and D with k·N·D = C at which the fitted law is least, with intervals.
  ///
  /// Chinchilla in closed form: N = G (C/k)^(β/(α+β)), G = (αA/βB)^(1/(α+β)); other laws of (N, D) by search.
  /// Intervals are from the resamples of a bootstrap, else by the delta method on logarithms.
  /// - Throws: `FitError` when the law is not one of two variables, or has no optimum at this budget.
  public func allocation(budget: Double, flopsPerParameterToken k: Double = 6) throws(FitError) -> Allocation
  {
    guard form.variables.count == 2 else {
      throw FitError(
        .badOption, "a budget is divided between two variables; \(form.name) has \(form.variables.count)")
    }
    guard budget > 0, budget.isFinite else {
      throw FitError(.badOption, "the budget is \(budget); it must be positive and finite")
    }
    let optimum = ComputeOptimum(form: form, flopsPerParameterToken: k)
    guard optimum.logParameters(theta, budget: budget) != nil else {
      throw FitError(
        .noSolution,
        "the fitted law has no compute-optimal size at a budget of \(budget): it falls to one side")
    }
    let n = logInterval { optimum.logParameters($0, budget: budget) }
    let d = logInterval { theta in
      optimum.logParameters(theta, budget: budget).map { logarithm(budget / k) - $0 }
    }
    let loss = logInterval { theta in
      optimum.logParameters(theta, budget: budget).map {
        logarithm(form.value(theta, at: [exponential($0), budget / k / exponential($0)]))
      }
    }
    let exponent = derived { theta in
      let step = 1e-3
      guard let up = optimum.logParameters(theta, budget: budget * exponential(step)),
        let down = optimum.logParameters(theta, budget: budget * exponential(-step))
      else { return .nan }
      return (up - down) / (2 * step)
    }
    return Allocation(
      budget: budget, flopsPerParameterToken: k, parameters: n, tokens: d, loss: loss,
      exponent: Interval(
        value: exponent.value, standardError: exponent.standardError.finite, low: exponent.low.finite,
        high: exponent.high.finite),
      extrapolation: Fit.reach(budget, beyond: zip(data.columns[0], data.columns[1]).map { k * $0 * $1 }))
  }

  /// The interval of e^g for a function g of the estimates, found on g.
  private func logInterval(_ function: ([Double]) -> Double?) -> Interval {
    let found = derived { function($0) ?? .nan }
    let value = exponential(found.value)
    return Interval(
      value: value, standardError: (value * found.standardError).finite, low: exponential(found.low).finite,
      high: exponential(found.high).finite)
  }
}

/// Where a law of (N, D) is least on k·N·D = C.
struct ComputeOptimum {
  let form: any ScalingForm
  let flopsPerParameterToken: Double

  func logParameters(_ theta: [Double], budget: Double) -> Double? {
    let product = logarithm(budget / flopsPerParameterToken)
    if form is Chinchilla {
      let (a, b, alpha, beta) = (theta[1], theta[2], theta[3], theta[4])
      guard alpha > 0, beta > 0, a > 0, b > 0 else { return nil }
      return (logarithm(alpha * a / (beta * b)) + beta * product) / (alpha + beta)
    }
    func loss(_ n: Double) -> Double { form.value(theta, at: [exponential(n), exponential(product - n)]) }
    // A coarse look for the basin, then golden section.
    let places = (1..<200).map { product * Double($0) / 200 }
    guard let best = places.indices.min(by: { loss(places[$0]) < loss(places[$1]) }),
      best > 0, best < places.count - 1
    else { return nil }
    var (low, high) = (places[best - 1], places[best + 1])
    for _ in 0..<80 {
      let (p, q) = (low + 0.381966 * (high - low), low + 0.618034 * (high - low))
      if loss(p) < loss(q) { high = q } else { low = p }
    }
    return 0.5 * (low + high)
  }
}
