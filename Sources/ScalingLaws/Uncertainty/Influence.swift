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
  }
  /// The largest single shift of each parameter, largest first.
  public let largest: [Shift]
  /// What the few hardest rows do to each parameter.
  public let few: [Few]

  /// Moves beyond this many standard errors are worth a warning.
  public static let notable = 2.0

  /// Complexity: one refit per row and one per parameter and direction.
  init?(_ fit: Fit) {
    let errors = fit.free.indices.map { fit.covariance[$0, $0].squareRoot() }
    let n = fit.data.count
    let known = fit.free.indices.filter { errors[$0] > 0 && errors[$0].isFinite }
    guard fit.converged, !known.isEmpty, n <= 1000 else { return nil }
    let estimates = Jackknife(fit, byCluster: false).estimates
    let refitter = Refitter(fit)
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
        found = Few(
          parameter: name, rows: rows.sorted().map { fit.data.rowNumbers[$0] }, from: fit.theta[j],
          to: theta[j], standardErrors: size)
      }
      if let found { few.append(found) }
    }
    self.largest = largest.sorted { abs($0.standardErrors) > abs($1.standardErrors) }
    self.few = few.sorted { abs($0.standardErrors) > abs($1.standardErrors) }
  }
}
