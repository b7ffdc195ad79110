/// Newton steps on the exact objective, and the verdict on whether a point is an optimum.
///
/// Gauss–Newton, which is what GSL iterates, converges slowly where residuals are large or the loss is Huber's;
/// a few Newton steps with a Hessian differenced from the exact gradient end in the last digits. The verdict is
/// the length of the step still to go in standard errors, which no unit, weight or mean-for-sum changes.
struct Polish {
  /// A point with its objective and the distance to the optimum in standard errors.
  struct Point {
    var u: [Double]
    var objective: Double
    var distance: Double
    /// Whether the decrement is at the level of rounding, as on data that the law fits exactly.
    var isAtRounding = false
    var isConverged: Bool { distance < 1e-4 || isAtRounding }

    /// Whether this is the better of two ends: lower, or as low to rounding and closer to the optimum.
    func isBetter(than other: Point, rounding: Double) -> Bool {
      let slack = 1e-9 * min(objective, other.objective) + rounding
      if abs(objective - other.objective) > slack { return objective < other.objective }
      return distance < other.distance
    }
  }

  let problem: Problem
  private var r: [Double]
  private var jacobian: [Double]

  init(_ problem: Problem) {
    self.problem = problem
    r = [Double](repeating: 0, count: problem.rows)
    jacobian = [Double](repeating: 0, count: problem.rows * problem.parameters)
  }

  /// How far a point is from the optimum, without moving it.
  mutating func verdict(at u: [Double]) -> Point? {
    guard let (f, g) = problem.slope(at: u, &r, &jacobian) else { return nil }
    var point = Point(u: u, objective: f, distance: .infinity)
    if let (_, decrement) = newtonStep(u, g) { judge(&point, decrement, f) }
    return point
  }

  /// Follows Newton steps from `start` until the decrement is at rounding level or no step helps.
  mutating func run(from start: [Double], maxSteps: Int = 12, tolerance: Double = 1e-10) -> Point? {
    guard var (f, g) = problem.slope(at: start, &r, &jacobian) else { return nil }
    var u = start
    var best = Point(u: u, objective: f, distance: .infinity)
    for _ in 0..<maxSteps {
      guard let (step, decrement) = newtonStep(u, g) else { break }
      judge(&best, decrement, f)
      if best.distance < tolerance || best.isAtRounding { break }
      var moved = false
      var length = 1.0
      for _ in 0..<8 {
        let trial = zip(u, step).map { $0 - length * $1 }
        if let (ft, gt) = problem.slope(at: trial, &r, &jacobian), accepts(ft, gt, f, g, step) {
          (u, f, g) = (trial, ft, gt)
          moved = true
          break
        }
        length *= 0.25
      }
      if !moved { break }
      best.u = u
      best.objective = f
      best.distance = .infinity
      best.isAtRounding = false
    }
    if case .squares = problem.loss { settle(&best) }
    if best.distance == .infinity, let (_, decrement) = newtonStep(best.u, g) {
      judge(&best, decrement, f)
    }
    return best
  }

  /// Gauss–Newton steps from a QR of the Jacobian, as long as they bring the residuals closer to orthogonal.
  ///
  /// Where parameters are nearly dependent the differenced Hessian loses the last digits; QR does not. What is
  /// left, ‖Qᵀz‖ / s, is Bates and Watts' relative offset and is the distance that counts.
  private mutating func settle(_ best: inout Point) {
    let p = best.u.count
    var z = [Double](repeating: 0, count: problem.rows)
    var u = best.u
    var least = Double.infinity
    for _ in 0..<12 {
      guard problem.transformed(at: u, &z, jacobian: &jacobian) else { return }
      let factor = TallFactor(jacobian, rows: problem.rows, p: p, rhs: z)
      let offset = factor.projected
      guard offset < 0.5 * least else { return }
      let objective = problem.objective(at: u)
      guard objective <= best.objective * (1 + 1e-12) + problem.roundingObjective else { return }
      (best.u, best.objective, least) = (u, min(objective, best.objective), offset)
      let scaled = offset * offset * problem.scale * problem.scale
      judge(&best, scaled, best.objective)
      u = zip(u, factor.solve()).map { $0 - $1 }
    }
  }

  /// A step is taken when the objective falls, or when it is level to rounding and the gradient falls.
  private func accepts(_ ft: Double, _ gt: [Double], _ f: Double, _ g: [Double], _ step: [Double]) -> Bool {
    guard ft.isFinite else { return false }
    if ft < f - 1e-13 * abs(f) { return true }
    guard ft <= f + 1e-13 * abs(f) else { return false }
    func size(_ g: [Double]) -> Double { zip(g, step).map { abs($0 * $1) }.max() ?? 0 }
    return size(gt) < 0.9 * size(g)
  }

  /// H⁻¹g and the decrement gᵀH⁻¹g, with H made positive by a ridge when it is not.
  private mutating func newtonStep(_ u: [Double], _ g: [Double]) -> ([Double], Double)? {
    guard let hessian = hessian(at: u) else { return nil }
    for ridge in [0, 1e-10, 1e-6, 1e-3, 1e-1, 10] {
      if let factor = Cholesky(hessian, ridge: ridge) {
        let step = factor.solve(g)
        guard step.allSatisfy(\.isFinite) else { continue }
        return (step, max(0, zip(step, g).map { $0 * $1 }.sum()))
      }
    }
    return nil
  }

  /// Central differences of the exact gradient, made symmetric.
  ///
  /// The width is a hundredth of the step that changes the fit by one standard deviation of the residuals, so it
  /// does not depend on the units of a parameter.
  mutating func hessian(at u: [Double]) -> Matrix? {
    let p = u.count
    guard let (f, _) = problem.slope(at: u, &r, &jacobian) else { return nil }
    var lengths = [Double](repeating: 0, count: p)
    for i in 0..<problem.rows {
      for k in 0..<p {
        lengths[k] += problem.weights[i] * jacobian[i * p + k] * jacobian[i * p + k]
      }
    }
    let total = zip(problem.weights, r).map { $0 * $1 * $1 }.sum()
    let noise = (max(total, 2 * f, problem.roundingObjective) / Double(max(problem.rows - p, 1))).squareRoot()
    var h = Matrix(size: p)
    for k in 0..<p {
      let natural = lengths[k] > 0 ? 0.01 * noise / lengths[k].squareRoot() : 0
      let width = min(max(natural, 1e-7 * abs(u[k]), 1e-300), max(1e-2, 1e-2 * abs(u[k])))
      var high = u
      var low = u
      high[k] += width
      low[k] -= width
      guard let (_, up) = problem.slope(at: high, &r, &jacobian),
        let (_, down) = problem.slope(at: low, &r, &jacobian)
      else { return nil }
      for j in 0..<p { h[k, j] = (up[j] - down[j]) / (high[k] - low[k]) }
    }
    for i in 0..<p {
      for j in 0..<i {
        let mean = 0.5 * (h[i, j] + h[j, i])
        h[i, j] = mean
        h[j, i] = mean
      }
    }
    return h
  }

  /// The distance √(gᵀH⁻¹g / σ²), with σ² the objective's own noise level per row.
  private func judge(_ point: inout Point, _ decrement: Double, _ f: Double) {
    let freedom = Double(max(problem.rows - problem.parameters, 1))
    let noise = 2 * max(f, problem.roundingObjective) / freedom
    point.distance = noise > 0 ? (decrement / noise).squareRoot() : 0
    point.isAtRounding = decrement <= problem.roundingObjective
  }
}
