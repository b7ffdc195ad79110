import Basics

/// The multi-start search for the best minimum: ranked starting points, each followed down, minima told apart.
struct Search {
  let form: any ScalingForm
  let options: FitOptions
  let data: FitData

  /// What the search found.
  struct Found {
    var theta: [Double]
    var free: [Int]
    var domains: [Domain]
    /// Parameters that ran into the end of their domain and are held there.
    var atBound: [Int]
    var converged: Bool
    var starts: Int
    var startsAtBest: Int
    var distinctMinima: Int
  }

  /// Above this many rows the starts are followed on a part of the data, and only the best on all of it.
  static let rowsForSearch = 5_000

  func run() -> Found? {
    let domains = form.parameters.map { options.domains[$0.name] ?? $0.domain }
    var base = [Double](repeating: 0, count: domains.count)
    var free: [Int] = []
    for (j, parameter) in form.parameters.enumerated() {
      if let held = options.fixed[parameter.name] { base[j] = held } else { free.append(j) }
    }
    let small = data.thinned(to: Search.rowsForSearch)
    let problem = problem(small, domains: domains, free: free, base: base)
    let starts = rankedStarts(problem)
    guard !starts.isEmpty else { return nil }
    let ends = starts.compactMap { descend(problem, from: $0) }
    guard var best = ends.min(by: { $0.isBetter(than: $1, rounding: problem.roundingObjective) }) else {
      return nil
    }
    best = Search.plainest(ends, like: best, problem)
    let atBest = ends.filter { Search.same($0.objective, best.objective, problem.roundingObjective) }.count
    let distinct = Search.distinct(ends.filter(\.isConverged).map(\.objective), problem.roundingObjective)
    var full = problem
    if small.count < data.count {
      full = self.problem(data, domains: domains, free: free, base: base)
      // So close to the optimum Newton's method needs two or three steps; GSL only where it does not get there.
      var polish = Polish(full)
      let near = options.loss == .absolute ? nil : polish.run(from: best.u)
      best = near?.isConverged == true ? near ?? best : descend(full, from: best.u) ?? best
    }
    var theta = full.natural(best.u)
    let atBound = settleBounds(full, &best, &theta, &free)
    return Found(
      theta: theta, free: free, domains: domains, atBound: atBound, converged: best.isConverged,
      starts: starts.count, startsAtBest: atBest, distinctMinima: max(distinct, 1))
  }

  func problem(_ data: FitData, domains: [Domain], free: [Int], base: [Double]) -> Problem {
    Problem(
      form: form, data: data, space: options.space, loss: options.loss, domains: domains, free: free,
      base: base)
  }

  /// Of equally good ends the one with most positive parameters: a width enters as its square, so both signs fit.
  private static func plainest(_ ends: [Polish.Point], like best: Polish.Point, _ problem: Problem)
    -> Polish.Point
  {
    func positives(_ point: Polish.Point) -> Int { problem.natural(point.u).count { $0 > 0 } }
    return ends.filter {
      $0.isConverged && abs($0.objective - best.objective) <= 1e-9 * best.objective
    }.max { positives($0) < positives($1) } ?? best
  }

  /// Objectives equal to seven digits, or both at rounding level.
  static func same(_ a: Double, _ b: Double, _ rounding: Double) -> Bool {
    abs(a - b) <= 1e-7 * max(abs(a), abs(b)) + rounding
  }

  static func distinct(_ objectives: [Double], _ rounding: Double) -> Int {
    var count = 0
    var last: Double?
    for value in objectives.sorted() {
      if let last, same(last, value, rounding) { continue }
      count += 1
      last = value
    }
    return count
  }

  /// The user's start first, then the form's by their objective: half of them the very best, half spread
  /// through the ranking, so that a good basin does not hide the others.
  private func rankedStarts(_ problem: Problem) -> [[Double]] {
    var images: [[Double]] = []
    let isComplete = form.parameters.allSatisfy {
      options.start[$0.name] != nil || options.fixed[$0.name] != nil
    }
    let candidates =
      options.onlyGivenStart && isComplete ? [] : form.starts(for: data, space: options.space)
    if !options.start.isEmpty {
      let template = candidates.first ?? form.parameters.map { $0.grid.first ?? 1 }
      var theta = problem.base
      for (j, parameter) in form.parameters.enumerated() where options.fixed[parameter.name] == nil {
        theta[j] = problem.domains[j].clamped(options.start[parameter.name] ?? template[j], scale: 1)
      }
      if let u = problem.image(theta) { images.append(u) }
      if options.onlyGivenStart { return images }
    }
    let sample = self.problem(
      data.thinned(to: 500), domains: problem.domains, free: problem.free, base: problem.base)
    let ranked = candidates.compactMap { theta -> (Double, [Double])? in
      let inside = theta.indices.map { problem.domains[$0].clamped(theta[$0], scale: abs(theta[$0])) }
      guard let u = problem.image(inside) else { return nil }
      let f = sample.objective(at: u)
      return f.isFinite ? (f, u) : nil
    }.sorted { $0.0 < $1.0 }.map(\.1)
    let wanted = max(1, options.starts - images.count)
    let top = min(ranked.count, (wanted + 1) / 2)
    images += ranked.prefix(top)
    let rest = ranked.dropFirst(top)
    let spread = min(rest.count, wanted - top)
    images += (0..<spread).map { rest[rest.startIndex + $0 * rest.count / spread] }
    return images
  }

  /// One start followed to its minimum: GSL, then Newton; another method of GSL's while neither has converged.
  func descend(_ problem: Problem, from start: [Double]) -> Polish.Point? {
    if case .absolute = options.loss { return descendAbsolute(problem, from: start) }
    if problem.parameters == 0 {
      return Polish.Point(u: [], objective: problem.objective(at: []), distance: 0)
    }
    var best: Polish.Point?
    let start = approach(problem, from: start)
    for method in SolverMethod.allCases {
      guard let outcome = NonlinearSolver(method: method).minimise(problem, from: start) else { continue }
      var polish = Polish(problem)
      guard let point = polish.run(from: outcome.u) else { continue }
      if let known = best, !point.isBetter(than: known, rounding: problem.roundingObjective) { continue }
      best = point
      // A start followed alone has nothing to be compared with but the other methods' minima.
      if point.isConverged, !options.onlyGivenStart { break }
    }
    return best
  }

  /// A Huber δ far below the residuals makes the objective nearly kinked: it is approached through larger ones.
  private func approach(_ problem: Problem, from start: [Double]) -> [Double] {
    guard let last = problem.loss.delta else { return start }
    var r = [Double](repeating: 0, count: problem.rows)
    var none: [Double] = []
    guard problem.residuals(at: start, &r, jacobian: &none) else { return start }
    var u = start
    var delta = 0.1 * Quantiles.median(r.map { abs($0) })
    while delta > 5 * last {
      let smooth = Problem(problem, free: problem.free, base: problem.base, loss: .huber(delta: delta))
      if let outcome = NonlinearSolver(xtol: 1e-8, maxIterations: 200).minimise(smooth, from: u) {
        var polish = Polish(smooth)
        u = polish.run(from: outcome.u)?.u ?? outcome.u
      }
      delta *= 0.2
    }
    return u
  }

  /// Least absolute deviations: Huber with a shrinking δ gives the place, the vertex method the digits.
  private func descendAbsolute(_ problem: Problem, from start: [Double]) -> Polish.Point? {
    var u = start
    var r = [Double](repeating: 0, count: problem.rows)
    var none: [Double] = []
    guard problem.residuals(at: u, &r, jacobian: &none) else { return nil }
    var delta = max(Quantiles.median(r.map { abs($0) }), 1e-12)
    for _ in 0..<6 {
      let smooth = Problem(problem, free: problem.free, base: problem.base, loss: .huber(delta: delta))
      if let outcome = NonlinearSolver(xtol: 1e-8, maxIterations: 200).minimise(smooth, from: u) {
        u = outcome.u
      }
      delta *= 0.2
    }
    return AbsoluteDeviation(problem: problem).run(from: u)
  }

  /// Parameters whose image runs away are put on the end of their domain, when the fit is no worse there.
  private func settleBounds(
    _ problem: Problem, _ best: inout Polish.Point, _ theta: inout [Double], _ free: inout [Int]
  ) -> [Int] {
    var atBound: [Int] = []
    for j in free {
      guard let end = Search.nearestEnd(problem.domains[j], theta[j]) else { continue }
      guard let k = free.firstIndex(of: j), Search.isNegligible(problem, best.u, k, theta, free) else {
        continue
      }
      var held = theta
      held[j] = end
      let others = free.filter { $0 != j }
      let smaller = Problem(problem, free: others, base: held)
      guard let u = smaller.image(held), let point = descend(smaller, from: u) else { continue }
      guard point.objective <= best.objective * (1 + 1e-9) + 1e-300 else { continue }
      best = point
      theta = smaller.natural(point.u)
      free = others
      atBound.append(j)
    }
    return atBound
  }

  private static func nearestEnd(_ domain: Domain, _ value: Double) -> Double? {
    let ends = domain.ends
    switch (ends.low, ends.high) {
    case (let low?, let high?): return value - low < high - value ? low : high
    case (let low?, nil): return low
    case (nil, let high?): return high
    case (nil, nil): return nil
    }
  }

  /// Whether moving the parameter to its end would change the fit by little in units of the residuals.
  private static func isNegligible(
    _ problem: Problem, _ u: [Double], _ k: Int, _ theta: [Double], _ free: [Int]
  ) -> Bool {
    let current = Problem(problem, free: free, base: theta)
    var r = [Double](repeating: 0, count: problem.rows)
    var jacobian = [Double](repeating: 0, count: problem.rows * free.count)
    guard let image = current.image(theta) else { return true }
    _ = current.residuals(at: image, &r, jacobian: &jacobian)
    var column = 0.0
    var total = 0.0
    for i in 0..<problem.rows {
      column += problem.weights[i] * jacobian[i * free.count + k] * jacobian[i * free.count + k]
      total += problem.weights[i] * r[i] * r[i]
    }
    return column <= 0.01 * total / Double(max(problem.rows - free.count, 1))
  }
}
