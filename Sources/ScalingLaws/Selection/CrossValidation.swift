import LeastSquares

/// Errors on rows that a fit has not seen.
struct CrossValidation {
  private let fit: Fit
  private let refitter: Refitter

  init(_ fit: Fit) {
    self.fit = fit
    refitter = Refitter(fit)
  }

  /// Rows at most that leave-one-out refits; beyond, it says little and takes long.
  private static let limit = 400

  private func error(_ theta: [Double], row i: Int) -> Double {
    let value = fit.form.value(theta, at: fit.data.columns.map { $0[i] })
    let y = fit.data.response[i]
    return fit.options.space == .log ? logarithm(value) - logarithm(y) : value - y
  }

  private static func rootMeanSquare(_ errors: [Double]) -> Double? {
    guard !errors.isEmpty, errors.allSatisfy(\.isFinite) else { return nil }
    return (errors.map { $0 * $0 }.sum() / Double(errors.count)).squareRoot()
  }

  /// Each row predicted from all others.
  func leaveOneOut() -> Double? {
    let n = fit.data.count
    guard n <= CrossValidation.limit else { return nil }
    var errors: [Double] = []
    for i in 0..<n {
      var multiplicity = [Double](repeating: 1, count: n)
      multiplicity[i] = 0
      guard let theta = refitter.refit(multiplicity: multiplicity) else { return nil }
      errors.append(error(theta, row: i))
    }
    return CrossValidation.rootMeanSquare(errors)
  }

  /// Each level in the larger half predicted from all smaller ones; rows are ordered by the product of the
  /// variables, and rows of one level are predicted together.
  func expandingWindow() -> Double? {
    let n = fit.data.count
    guard n <= CrossValidation.limit else { return nil }
    let sizes = (0..<n).map { i in fit.data.columns.map { logarithm(max(abs($0[i]), 1e-300)) }.sum() }
    let levels = Set(sizes).sorted()
    var errors: [Double] = []
    for level in levels.dropFirst(levels.count / 2) {
      let multiplicity = sizes.map { $0 < level ? 1.0 : 0 }
      guard Set(zip(sizes, multiplicity).filter { $0.1 > 0 }.map(\.0)).count >= fit.free.count + 1 else {
        continue
      }
      guard let theta = refitter.refit(multiplicity: multiplicity) else { return nil }
      for i in 0..<n where sizes[i] == level { errors.append(error(theta, row: i)) }
    }
    return CrossValidation.rootMeanSquare(errors)
  }
}
