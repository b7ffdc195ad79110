/// What leaving out rows does to the estimates.
public struct Influence: Sendable {
  /// One parameter without one row.
  public struct Shift: Sendable, Equatable {
    /// The row, by the user's number.
    public let row: Int
    /// The parameter that moves.
    public let parameter: String
    /// How far it moves when the row is left out, in standard errors of the full fit.
    public let standardErrors: Double
  }
  /// One parameter without a few rows.
  public struct Few: Sendable, Equatable {
    /// The parameter that moves.
    public let parameter: String
    /// The rows left out: those that pull hardest in one direction, 2 % of all and at most 5.
    public let rows: [Int]
    /// The estimate with all rows.
    public let from: Double
    /// The estimate without them.
    public let to: Double
    /// The move in standard errors of the full fit.
    public let standardErrors: Double
    /// How many times larger the standard error is without the rows, by the Jacobian.
    public let errorRatio: Double
    /// Whether the rows decide the parameter by more than any few rows of such a design do.
    public let isDecisive: Bool
  }
  /// The largest single shift of each parameter, largest first.
  public let largest: [Shift]
  /// What the few hardest rows do to each parameter.
  public let few: [Few]
  /// Rows farther from the law than normal noise puts one row in a hundred fits: their studentised residual is
  /// beyond Student's t at 1 − 0.01/n. Least squares only; robust losses are for data that have such rows.
  public let outlying: [Int]

  /// Moves beyond this many standard errors are worth a warning where the rows are a small part of all.
  public static let notable = 2.0
  /// Below this many rows one row is more than 2 % of them and moves of two standard errors are common. Then the rows
  /// decide only when they also contradict the others (the move, in its own standard deviation, is beyond the
  /// Bonferroni quantile of Student's t) or when without them the standard error is larger by `decisiveRatio`.
  public static let manyRows = 50
  /// See `manyRows`.
  public static let decisiveRatio = 5.0

  /// Complexity: one refit per row and one per parameter and direction.
  init?(_ fit: Fit) {
    let errors = fit.free.indices.map { fit.covariance[$0, $0].squareRoot() }
    let n = fit.data.count
    let known = fit.free.indices.filter { errors[$0] > 0 && errors[$0].isFinite }
    guard fit.converged, !known.isEmpty, n <= 1000 else { return nil }
    let estimates = Jackknife(fit, byCluster: false).estimates
    let refitter = Refitter(fit)
    let precision = Precision(fit)
    let count = max(1, min(5, n / 50))
    var largest: [Shift] = []
    var few: [Few] = []
    for k in known {
      let j = fit.free[k]
      let name = fit.form.parameters[j].name
      func shift(_ theta: [Double]) -> Double? {
        guard let a = fit.domains[j].image(of: theta[j]), let b = fit.domains[j].image(of: fit.theta[j])
        else { return nil }
        return (a - b) / errors[k]
      }
      let shifts = estimates.enumerated().compactMap { i, theta in
        theta.flatMap(shift).map { (row: i, size: $0) }
      }
      guard let worst = shifts.max(by: { abs($0.size) < abs($1.size) }) else { continue }
      largest.append(
        Shift(row: fit.data.rowNumbers[worst.row], parameter: name, standardErrors: worst.size))
      guard n - count >= fit.free.count + 1 else { continue }
      var found: Few?
      for direction in [1.0, -1.0] {
        let rows = shifts.sorted { direction * $0.size > direction * $1.size }.prefix(count).map(\.row)
        var multiplicity = [Double](repeating: 1, count: n)
        for i in rows { multiplicity[i] = 0 }
        guard let theta = refitter.refit(multiplicity: multiplicity), let size = shift(theta),
          abs(size) > abs(found?.standardErrors ?? 0)
        else { continue }
        let ratio = precision.errorRatio(of: k, without: Set(rows))
        found = Few(
          parameter: name, rows: rows.sorted().map { fit.data.rowNumbers[$0] }, from: fit.theta[j],
          to: theta[j], standardErrors: size, errorRatio: ratio,
          isDecisive: Influence.isDecisive(size, ratio, rows: n, freedom: fit.degreesOfFreedom))
      }
      if let found { few.append(found) }
    }
    self.largest = largest.sorted { abs($0.standardErrors) > abs($1.standardErrors) }
    self.few = few.sorted { abs($0.standardErrors) > abs($1.standardErrors) }
    outlying = fit.options.loss == .squares ? precision.outlying(fit) : []
  }
  /// Hausman: the move has the variance by which the squared standard error grows, so move/√(ratio² − 1) is a residual
  /// in its own standard deviation; with one row left out it is the studentised residual.
  private static func isDecisive(_ move: Double, _ ratio: Double, rows n: Int, freedom: Int) -> Bool {
    guard abs(move) > notable else { return false }
    if n >= manyRows || ratio > decisiveRatio { return true }
    return isBeyondNoise(move * move / max(ratio * ratio - 1, 1e-12), rows: n, freedom: freedom)
  }

  /// Whether a squared residual in its own standard deviation, with a noise estimate that contains it, is beyond what
  /// the largest of n normal ones is in 99 of 100 fits.
  fileprivate static func isBeyondNoise(_ square: Double, rows n: Int, freedom: Int) -> Bool {
    guard freedom > 1 else { return false }
    let left = Double(freedom) - square
    guard left > 0 else { return true }
    let external = (square * Double(freedom - 1) / left).squareRoot()
    return external > Distributions.tQuantile(1 - 0.01 / Double(n), freedom: Double(freedom - 1))
  }
}

/// Standard errors of parts of the rows from the Jacobian at the optimum of all.
private struct Precision {
  private let jacobian: [Double]
  private let rows: Int
  private let free: Int
  private let all: Matrix
  private let weights: [Double]
  private let rounding: Double

  init(_ fit: Fit) {
    let problem = Problem(
      form: fit.form, data: fit.data, space: fit.options.space, loss: fit.options.loss, domains: fit.domains,
      free: fit.free, base: fit.theta)
    rows = problem.rows
    free = problem.parameters
    var r = [Double](repeating: 0, count: rows)
    var jacobian = [Double](repeating: 0, count: rows * free)
    if let u = problem.image(fit.theta) { problem.residuals(at: u, &r, jacobian: &jacobian) }
    for i in 0..<rows {
      let root = problem.weights[i].squareRoot()
      for k in 0..<free { jacobian[i * free + k] *= root }
    }
    weights = problem.weights
    rounding = problem.roundingObjective
    self.jacobian = jacobian
    all = TallFactor(jacobian, rows: rows, p: free).inverseNormal().0
  }

  func outlying(_ fit: Fit) -> [Int] {
    guard fit.degreesOfFreedom > 1, fit.rss > 100 * rounding else { return [] }
    let variance = fit.rss / Double(fit.degreesOfFreedom)
    return (0..<rows).filter { i in
      let row = Array(jacobian[(i * free)..<((i + 1) * free)])
      let own = max(1 - all.form(row, row), 1e-12)
      let square = weights[i] * fit.residuals[i] * fit.residuals[i] / (variance * own)
      return Influence.isBeyondNoise(square, rows: rows, freedom: fit.degreesOfFreedom)
    }.map { fit.data.rowNumbers[$0] }
  }

  func errorRatio(of k: Int, without left: Set<Int>) -> Double {
    var kept: [Double] = []
    for i in 0..<rows where !left.contains(i) { kept += jacobian[(i * free)..<((i + 1) * free)] }
    let (covariance, lost) = TallFactor(kept, rows: rows - left.count, p: free).inverseNormal()
    return lost[k] || all[k, k] <= 0 ? .infinity : (covariance[k, k] / all[k, k]).squareRoot()
  }
}
