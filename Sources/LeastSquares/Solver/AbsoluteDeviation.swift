/// Least absolute deviations, exactly: Huber with δ shrinking, then steps from vertex to vertex.
///
/// At the optimum of Σ w|r| with p parameters, p residuals are as a rule exactly zero, and no smooth method gets
/// there. The linear problem min_d Σ w|r + J d| is solved by descent along edges (release one zero row, walk to
/// the weighted median of the break points of the others); its step is taken, shortened while the true sum
/// rises, and the problem is linearised again. Converges quadratically at a vertex. Complexity O(n p² + n log n)
/// an edge.
struct AbsoluteDeviation {
  let problem: Problem

  func run(from start: [Double]) -> Polish.Point? {
    let n = problem.rows
    let p = problem.parameters
    var u = start
    var r = [Double](repeating: 0, count: n)
    var jacobian = [Double](repeating: 0, count: n * p)
    guard problem.residuals(at: u, &r, jacobian: &jacobian) else { return nil }
    var f = problem.objective(r)
    var lastGain = Double.infinity
    for _ in 0..<100 {
      guard let step = linearStep(r, jacobian) else { break }
      let predicted = f - linearObjective(r, jacobian, step)
      var length = 1.0
      var moved = false
      var trialR = r
      var trialJ = jacobian
      for _ in 0..<30 {
        let trial = zip(u, step).map { $0 + length * $1 }
        if problem.residuals(at: trial, &trialR, jacobian: &trialJ) {
          let ft = problem.objective(trialR)
          if ft < f {
            lastGain = f - ft
            (u, f, r, jacobian) = (trial, ft, trialR, trialJ)
            moved = true
            break
          }
        }
        length *= 0.5
      }
      if !moved || lastGain <= 1e-14 * f || predicted <= 1e-14 * f { break }
    }
    var point = Polish.Point(u: u, objective: f, distance: .infinity)
    // What the linear problem could still gain, in units of a standard error of the objective's slope.
    let gain = linearStep(r, jacobian).map { f - linearObjective(r, jacobian, $0) } ?? 0
    point.distance = f > 0 ? (max(gain, 0) * Double(n) / f).squareRoot() : 0
    point.isAtRounding = gain <= 1e-9 * f / Double(n)
    return point
  }

  private func linearObjective(_ r: [Double], _ jacobian: [Double], _ d: [Double]) -> Double {
    let p = d.count
    var total = 0.0
    for i in r.indices {
      var value = r[i]
      for k in 0..<p { value += jacobian[i * p + k] * d[k] }
      total += problem.weights[i] * abs(value)
    }
    return total
  }

  /// The minimiser of Σ w|r + J d|.
  private func linearStep(_ r: [Double], _ jacobian: [Double]) -> [Double]? {
    let n = r.count
    let p = problem.parameters
    guard var vertex = Vertex(r, jacobian, n, p) else { return nil }
    var best = linearObjective(r, jacobian, vertex.step)
    for _ in 0..<(20 * p + 200) {
      var residual = r
      for i in 0..<n { for k in 0..<p { residual[i] += jacobian[i * p + k] * vertex.step[k] } }
      for i in vertex.active { residual[i] = 0 }
      guard let edge = vertex.edge(residual, jacobian, problem.weights) else { break }
      guard let entering = walk(edge, residual, jacobian, Set(vertex.active)) else { break }
      var active = vertex.active
      active[edge.leaving] = entering
      guard let next = Vertex(active, r, jacobian, p) else { break }
      let value = linearObjective(r, jacobian, next.step)
      guard value < best * (1 - 1e-15) else { break }
      (vertex, best) = (next, value)
    }
    return vertex.step
  }

  /// The row at which a walk along an edge should stop: the weighted median of the break points.
  private func walk(
    _ edge: (leaving: Int, direction: [Double], slope: Double), _ residual: [Double], _ jacobian: [Double],
    _ active: Set<Int>
  ) -> Int? {
    let p = edge.direction.count
    var breaks: [(t: Double, row: Int, weight: Double)] = []
    for i in residual.indices where !active.contains(i) {
      var rate = 0.0
      for k in 0..<p { rate += jacobian[i * p + k] * edge.direction[k] }
      guard rate != 0 else { continue }
      let t = -residual[i] / rate
      if t > 0 { breaks.append((t, i, 2 * problem.weights[i] * abs(rate))) }
    }
    breaks.sort { ($0.t, $0.row) < ($1.t, $1.row) }
    var slope = edge.slope
    for stop in breaks {
      slope += stop.weight
      if slope >= 0 { return stop.row }
    }
    return nil
  }
}

/// p rows whose linearised residuals are zero, and the step that makes them so.
private struct Vertex {
  let active: [Int]
  let step: [Double]
  /// Rows of the inverse transpose: moving along column k changes only the k-th active residual.
  private let directions: [[Double]]

  /// The vertex of the rows with the smallest residuals that are independent.
  init?(_ r: [Double], _ jacobian: [Double], _ n: Int, _ p: Int) {
    var chosen: [Int] = []
    var basis: [[Double]] = []
    for i in r.indices.sorted(by: { abs(r[$0]) < abs(r[$1]) }) {
      var row = (0..<p).map { jacobian[i * p + $0] }
      let size = row.map { $0 * $0 }.sum().squareRoot()
      for b in basis {
        let dot = zip(row, b).map { $0 * $1 }.sum()
        for k in 0..<p { row[k] -= dot * b[k] }
      }
      let rest = row.map { $0 * $0 }.sum().squareRoot()
      guard size > 0, rest > 1e-4 * size else { continue }
      basis.append(row.map { $0 / rest })
      chosen.append(i)
      if chosen.count == p { break }
    }
    guard chosen.count == p else { return nil }
    self.init(chosen, r, jacobian, p)
  }

  init?(_ active: [Int], _ r: [Double], _ jacobian: [Double], _ p: Int) {
    self.active = active
    var rows = Matrix(size: p)
    for (row, i) in active.enumerated() { for k in 0..<p { rows[row, k] = jacobian[i * p + k] } }
    guard let inverse = rows.inverse else { return nil }
    directions = (0..<p).map { column in (0..<p).map { inverse[$0, column] } }
    var step = [Double](repeating: 0, count: p)
    for (column, i) in active.enumerated() { for k in 0..<p { step[k] -= directions[column][k] * r[i] } }
    self.step = step
  }

  /// The steepest edge that goes down, or nil at the optimum.
  func edge(
    _ residual: [Double], _ jacobian: [Double], _ weights: [Double]
  ) -> (leaving: Int, direction: [Double], slope: Double)? {
    let p = step.count
    var gradient = [Double](repeating: 0, count: p)
    for i in residual.indices where residual[i] != 0 {
      let s = residual[i] > 0 ? weights[i] : -weights[i]
      for k in 0..<p { gradient[k] += s * jacobian[i * p + k] }
    }
    var best: (leaving: Int, direction: [Double], slope: Double)?
    for (k, direction) in directions.enumerated() {
      let along = zip(gradient, direction).map { $0 * $1 }.sum()
      // Leaving the zero costs the row's own weight whichever way one goes.
      let slope = weights[active[k]] - abs(along)
      guard slope < -1e-12 * weights[active[k]] else { continue }
      if slope < (best?.slope ?? 0) {
        best = (k, along > 0 ? direction.map { -$0 } : direction, slope)
      }
    }
    return best
  }
}
