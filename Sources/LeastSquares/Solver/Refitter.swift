/// Refits of parts of the data, from the optimum of all of it: the inner loop of resampling.
package struct Refitter: Sendable {
  let form: any ScalingForm
  let options: FitOptions
  let data: FitData
  let domains: [Domain]
  let free: [Int]
  let theta: [Double]

  package init(_ fit: Fit) {
    form = fit.form
    options = fit.options
    data = fit.data
    domains = fit.domains
    free = fit.free
    theta = fit.theta
  }

  /// Estimates with each row counted `multiplicity` times; nil when no optimum is reached.
  package func refit(multiplicity: [Double]) -> [Double]? {
    let kept = multiplicity.indices.filter { multiplicity[$0] > 0 }
    guard kept.count >= free.count else { return nil }
    let problem = Problem(
      form: form, data: data.rows(kept), space: options.space, loss: options.loss, domains: domains,
      free: free, base: theta, multiplicity: kept.map { multiplicity[$0] })
    return refit(problem)?.theta
  }

  /// Estimates and objective of a problem, started from the optimum of all rows.
  func refit(_ problem: Problem) -> (theta: [Double], objective: Double)? {
    guard let start = problem.image(theta) else { return nil }
    if problem.parameters == 0 { return (theta, problem.objective(at: [])) }
    if case .absolute = options.loss {
      return AbsoluteDeviation(problem: problem).run(from: start).map {
        (problem.natural($0.u), $0.objective)
      }
    }
    // Newton alone is enough from so close, and ten times faster than starting GSL; GSL when it is not.
    var polish = Polish(problem)
    var best = polish.run(from: start, maxSteps: 25, tolerance: 1e-5)
    if best?.isConverged != true {
      for method in [SolverMethod.accelerated, .levenbergMarquardt] {
        guard let outcome = NonlinearSolver(method: method, xtol: 1e-9).minimise(problem, from: start),
          let point = polish.run(from: outcome.u, maxSteps: 25, tolerance: 1e-5)
        else { continue }
        if let known = best, !point.isBetter(than: known, rounding: problem.roundingObjective) { continue }
        best = point
        if point.isConverged { break }
      }
    }
    guard let best, best.isConverged || best.distance < 0.01 else { return nil }
    let found = problem.natural(best.u)
    return found.allSatisfy(\.isFinite) ? (found, best.objective) : nil
  }
}
