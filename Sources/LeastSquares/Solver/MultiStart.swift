import Basics

/// Starting points of a multi-start search by variable projection: every combination of the nonlinear grids, and for each
/// the linear parameters solved for by weighted least squares (relative errors in log space), kept inside their domains.
///
/// At most 300 rows, evenly through the data, and 3000 combinations are looked at.
package func projectedStarts(form: any ScalingForm, data: FitData, space: FitSpace, grids: [[Double]])
  -> [[Double]]
{
  let sample = data.thinned(to: 300)
  let projection = LinearProjection(form: form, data: sample, space: space)
  let nonlinear = form.parameters.indices.filter { !form.parameters[$0].isLinear }
  var starts: [[Double]] = []
  for combination in combinations(nonlinear.map { grids[$0] }, limit: 3000) {
    var theta = [Double](repeating: 0, count: form.parameters.count)
    for (index, value) in zip(nonlinear, combination) { theta[index] = value }
    if let solved = projection.solve(theta) { starts.append(solved) }
  }
  return starts
}

/// All combinations of one value from each list; `limit` of them drawn at random, by a fixed seed, when there
/// are more.
package func combinations(_ lists: [[Double]], limit: Int) -> [[Double]] {
  let total = lists.reduce(1) { min($0 * max($1.count, 1), 1_000_000_000) }
  var generator = SeededGenerator(seed: 0x5EED)
  return (0..<min(total, limit)).map { number in
    if total > limit { return lists.map { $0.randomElement(using: &generator) ?? 0 } }
    var rest = number
    return lists.map { list in
      guard !list.isEmpty else { return 0 }
      defer { rest /= list.count }
      return list[rest % list.count]
    }
  }
}

extension FitData {
  /// At most `limit` rows, evenly through the data.
  package func thinned(to limit: Int) -> FitData {
    guard count > limit else { return self }
    return rows((0..<limit).map { $0 * count / limit })
  }
}

/// The linear part of a form, solved for given its nonlinear parameters.
struct LinearProjection {
  private let form: any ScalingForm
  private let columns: Columns
  private let response: [Double]
  private let roots: [Double]
  private let linear: [Int]

  init(form: any ScalingForm, data: FitData, space: FitSpace) {
    self.form = form
    columns = Columns(data.columns, count: data.count)
    response = data.response
    roots = data.response.indices.map { i in
      let weight = (data.weights?[i] ?? 1).squareRoot()
      return space == .log ? weight / max(abs(data.response[i]), 1e-300) : weight
    }
    linear = form.parameters.indices.filter { form.parameters[$0].isLinear }
  }

  /// `theta` with its linear places filled in; nil when the form has no finite value there.
  func solve(_ theta: [Double]) -> [Double]? {
    guard !linear.isEmpty else { return theta }
    let n = response.count
    let p = theta.count
    var values = [Double](repeating: 0, count: n)
    var gradient = [Double](repeating: 0, count: n * p)
    var theta = theta
    for j in linear { theta[j] = 0 }
    form.evaluate(theta, on: columns, values: &values, gradient: &gradient)
    guard values.allSatisfy(\.isFinite) else { return nil }
    var active = linear
    var sizes: [Int: Double] = [:]
    let typical = Quantiles.median(response.map { abs($0) })
    for j in linear {
      let largest = (0..<n).map { abs(gradient[$0 * p + j]) }.max() ?? 0
      guard largest.isFinite else { return nil }
      sizes[j] = largest > 0 ? typical / largest : 1
    }
    while true {
      let k = active.count
      var matrix = [Double](repeating: 0, count: n * k)
      var rhs = [Double](repeating: 0, count: n)
      for i in 0..<n {
        for (c, j) in active.enumerated() { matrix[i * k + c] = gradient[i * p + j] * roots[i] }
        rhs[i] = (response[i] - values[i]) * roots[i]
      }
      let solution = TallFactor(matrix, rows: n, p: k, rhs: rhs).solve(ignoringBelow: 1e-12)
      for (c, j) in active.enumerated() { theta[j] = solution[c] }
      // A bounded parameter that wants to leave its domain is put just inside, the worst first.
      let outside = active.filter { form.parameters[$0].domain.image(of: theta[$0]) == nil }
      guard
        let worst = outside.max(by: { abs(theta[$0]) / (sizes[$0] ?? 1) < abs(theta[$1]) / (sizes[$1] ?? 1) })
      else { return theta }
      active.removeAll { $0 == worst }
      theta[worst] = form.parameters[worst].domain.clamped(theta[worst], scale: sizes[worst] ?? 1)
      for i in 0..<n { values[i] += theta[worst] * gradient[i * p + worst] }
      if active.isEmpty { return theta }
    }
  }
}
