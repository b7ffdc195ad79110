/// A form bound to data, seen from the solver: residuals and Jacobian in unbounded coordinates.
///
/// For a loss ρ the solver sees z with ½ Σ z² = Σ w ρ(r): z = r for squares; for Huber z = r inside δ and
/// sign(r) √(2δ|r| − δ²) outside, whose Jacobian is that of r times δ/|z|. Residuals of a Huber fit are divided
/// by δ and others by their own spread, so that no tolerance of the solver depends on the units.
/// Not shared between threads: it owns its scratch space.
final class Problem {
  let form: any ScalingForm
  let columns: Columns
  let target: [Double]
  let weights: [Double]
  let space: FitSpace
  let loss: Loss
  let domains: [Domain]
  /// Indices of the parameters that move.
  private(set) var free: [Int]
  /// Natural values; those of fixed parameters are read from here.
  private(set) var base: [Double]
  /// Residuals are divided by this before the solver sees them.
  var scale: Double

  var rows: Int { target.count }
  var parameters: Int { free.count }

  private var values: [Double]
  private var gradient: [Double]
  private let noGradient: [Double] = []
  /// Residual given to a row whose value is not finite: large, finite, so that the step is refused.
  static let refusal = 1e12

  init(
    form: any ScalingForm, data: FitData, space: FitSpace, loss: Loss, domains: [Domain], free: [Int],
    base: [Double], multiplicity: [Double]? = nil
  ) {
    self.form = form
    self.space = space
    self.loss = loss
    self.domains = domains
    self.free = free
    self.base = base
    columns = Columns(data.columns, count: data.count)
    target = space == .log ? data.response.map(logarithm) : data.response
    var weights = data.weights ?? [Double](repeating: 1, count: data.count)
    if let multiplicity { for i in weights.indices { weights[i] *= multiplicity[i] } }
    self.weights = weights
    values = [Double](repeating: 0, count: data.count)
    gradient = [Double](repeating: 0, count: data.count * domains.count)
    if case .huber(let delta) = loss {
      scale = delta
    } else if space == .log {
      scale = 0.1
    } else {
      let spread = standardDeviation(data.response)
      scale = spread > 0 ? spread : max(abs(data.response.first ?? 1), 1e-300)
    }
  }

  /// The same rows and form with other parameters free, sharing nothing mutable.
  init(_ other: Problem, free: [Int], base: [Double], weights: [Double]? = nil, loss: Loss? = nil) {
    form = other.form
    columns = other.columns
    target = other.target
    self.weights = weights ?? other.weights
    space = other.space
    self.loss = loss ?? other.loss
    domains = other.domains
    self.free = free
    self.base = base
    scale = loss?.delta ?? other.scale
    values = other.values
    gradient = other.gradient
  }

  func natural(_ u: [Double]) -> [Double] {
    var theta = base
    for (k, j) in free.enumerated() { theta[j] = domains[j].value(of: u[k]) }
    return theta
  }

  func image(_ theta: [Double]) -> [Double]? {
    var u: [Double] = []
    for j in free {
      guard let image = domains[j].image(of: theta[j]), image.isFinite else { return nil }
      u.append(image)
    }
    return u
  }

  /// Plain residuals r and, when asked for, ∂r/∂u as `[rows, free]`; false when some value is not usable.
  @discardableResult
  func residuals(at u: [Double], _ r: inout [Double], jacobian: inout [Double]) -> Bool {
    let theta = natural(u)
    let wants = !jacobian.isEmpty
    var none = noGradient
    if wants {
      form.evaluate(theta, on: columns, values: &values, gradient: &gradient)
    } else {
      form.evaluate(theta, on: columns, values: &values, gradient: &none)
    }
    let all = domains.count
    let p = free.count
    let slopes = free.map { domains[$0].slope(at: theta[$0]) }
    var usable = true
    for i in 0..<rows {
      let f = values[i]
      if space == .log {
        let bad = !(f > 0 && f.isFinite)
        r[i] = bad ? Problem.refusal * scale : logarithm(f) - target[i]
        if bad { usable = false }
        if wants {
          for k in 0..<p {
            let d = bad ? 0 : gradient[i * all + free[k]] * slopes[k] / f
            jacobian[i * p + k] = d.isFinite ? d : 0
            if !d.isFinite { usable = false }
          }
        }
      } else {
        let bad = !f.isFinite
        r[i] = bad ? Problem.refusal * scale : f - target[i]
        if bad { usable = false }
        if wants {
          for k in 0..<p {
            let d = bad ? 0 : gradient[i * all + free[k]] * slopes[k]
            jacobian[i * p + k] = d.isFinite ? d : 0
            if !d.isFinite { usable = false }
          }
        }
      }
    }
    return usable
  }

  /// The residuals z that the solver squares, and ∂z/∂u when `jacobian` is not empty.
  func transformed(at u: [Double], _ z: inout [Double], jacobian: inout [Double]) -> Bool {
    let usable = residuals(at: u, &z, jacobian: &jacobian)
    let p = free.count
    let wants = !jacobian.isEmpty
    for i in 0..<rows {
      let r = z[i] / scale
      let root = weights[i].squareRoot()
      var factor = root / scale
      if case .huber = loss, abs(r) > 1 {
        let size = (2 * abs(r) - 1).squareRoot()
        z[i] = (r < 0 ? -size : size) * root
        factor /= size
      } else {
        z[i] = r * root
      }
      if wants { for k in 0..<p { jacobian[i * p + k] *= factor } }
    }
    return usable
  }

  /// Σ w ρ(r): the objective as it is printed, in the chosen space, summed.
  func objective(_ r: [Double]) -> Double {
    var total = 0.0
    for i in 0..<rows { total += weights[i] * Problem.rho(r[i], loss) }
    return total
  }

  func objective(at u: [Double]) -> Double {
    var r = [Double](repeating: 0, count: rows)
    var none = noGradient
    return residuals(at: u, &r, jacobian: &none) ? objective(r) : .infinity
  }

  /// The objective that rounding alone leaves: residuals of some units in the last place of the response.
  private(set) lazy var roundingObjective: Double = {
    let size = (target.map { abs($0) }.max() ?? 0) + (space == .log ? 1 : 0)
    let unit = 8 * size * Double.ulpOfOne
    return 0.5 * unit * unit * weights.sum()
  }()

  static func rho(_ r: Double, _ loss: Loss) -> Double {
    switch loss {
    case .squares: 0.5 * r * r
    case .huber(let delta): abs(r) <= delta ? 0.5 * r * r : delta * (abs(r) - 0.5 * delta)
    case .absolute: abs(r)
    }
  }

  static func psi(_ r: Double, _ loss: Loss) -> Double {
    switch loss {
    case .squares: r
    case .huber(let delta): min(max(r, -delta), delta)
    case .absolute: r > 0 ? 1 : r < 0 ? -1 : 0
    }
  }

  /// The objective and its gradient in u.
  func slope(at u: [Double], _ r: inout [Double], _ jacobian: inout [Double]) -> (Double, [Double])? {
    guard residuals(at: u, &r, jacobian: &jacobian) else { return nil }
    let p = free.count
    var g = [Double](repeating: 0, count: p)
    for i in 0..<rows {
      let s = weights[i] * Problem.psi(r[i], loss)
      if s != 0 { for k in 0..<p { g[k] += s * jacobian[i * p + k] } }
    }
    return (objective(r), g)
  }
}
