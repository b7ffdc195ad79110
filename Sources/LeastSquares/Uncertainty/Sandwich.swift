import Basics

/// The covariance of an M-estimator: H⁻¹ (Σ sᵢ sᵢᵀ) H⁻¹ with sᵢ = w ψ(rᵢ) ∂rᵢ/∂u, summed within clusters first.
///
/// H is the Hessian of the objective. For the absolute loss, and for a Huber δ so small that few residuals lie
/// inside it, the curvature of the loss is 2 f(0) instead, with the density of residuals at zero estimated by a
/// kernel. Corrected for few rows by n/(n − p), or by G/(G − 1) for G clusters.
struct Sandwich {
  let covariance: Matrix?

  init(_ problem: Problem, at u: [Double], clusters: [Int]? = nil) {
    let n = problem.rows
    let p = problem.parameters
    var r = [Double](repeating: 0, count: n)
    var jacobian = [Double](repeating: 0, count: n * p)
    guard p > 0, problem.residuals(at: u, &r, jacobian: &jacobian) else {
      covariance = nil
      return
    }
    // The bread: E[ρ''] JᵀJ, with ρ'' smoothed over the width of the residuals.
    let width = Sandwich.bandwidth(r)
    var bread = Matrix(size: p)
    for i in 0..<n {
      let curvature = problem.weights[i] * Sandwich.curvature(r[i], problem.loss, width)
      if curvature == 0 { continue }
      for a in 0..<p {
        for b in 0..<p { bread[a, b] += curvature * jacobian[i * p + a] * jacobian[i * p + b] }
      }
    }
    guard let inverse = Cholesky(bread)?.inverse() else {
      covariance = nil
      return
    }
    let groups = clusters.map { ($0.max() ?? -1) + 1 } ?? n
    var sums = [Double](repeating: 0, count: groups * p)
    for i in 0..<n {
      // A residual that is zero but for rounding, as p of them are at a vertex, has no sign.
      let isZero = problem.loss == .absolute && abs(r[i]) < 1e-6 * width
      let score = isZero ? 0 : problem.weights[i] * Problem.psi(r[i], problem.loss)
      let first = (clusters?[i] ?? i) * p
      for a in 0..<p { sums[first + a] += score * jacobian[i * p + a] }
    }
    var meat = Matrix(size: p)
    for k in 0..<groups {
      for a in 0..<p { for b in 0..<p { meat[a, b] += sums[k * p + a] * sums[k * p + b] } }
    }
    let g = Double(groups)
    let correction =
      clusters == nil
      ? Double(n) / Double(max(n - p, 1)) : g / max(g - 1, 1) * Double(n - 1) / Double(max(n - p, 1))
    var result = inverse.times(meat).times(inverse)
    for k in result.elements.indices { result.elements[k] *= correction }
    covariance = result.elements.allSatisfy(\.isFinite) ? result : nil
  }

  /// Silverman's width for the density of residuals at zero.
  static func bandwidth(_ r: [Double]) -> Double {
    let sorted = r.sorted()
    let spread = min(
      standardDeviation(r), (Quantiles.ofSorted(sorted, 0.75) - Quantiles.ofSorted(sorted, 0.25)) / 1.349)
    return max(0.9 * spread * power(Double(max(r.count, 2)), -0.2), 1e-300)
  }

  /// ρ'' averaged over a normal kernel: 1 for squares, δ-wide for Huber, 2·density for absolute.
  static func curvature(_ r: Double, _ loss: Loss, _ width: Double) -> Double {
    switch loss {
    case .squares: 1
    case .absolute: 2 * exponential(-0.5 * r * r / (width * width)) / (width * (2 * .pi).squareRoot())
    case .huber(let delta):
      Distributions.normal((r + delta) / width) - Distributions.normal((r - delta) / width)
    }
  }
}
