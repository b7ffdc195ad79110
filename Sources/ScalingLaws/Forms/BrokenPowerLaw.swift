import LeastSquares
import RealModule

/// y = c + a·x^−b · (1 + (x/d)^(1/f))^(−e·f): a power law whose slope changes smoothly from −b to −(b + e) around d.
///
/// f > 0 is the width of the break in ln x. Source: Caballero et al. 2023 (BNSL), one break. With
/// s = (x/d)^(1/f), w = s/(1 + s): ∂ ln(y − c) is −ln x in b, −f ln(1 + s) in e, e w/d in d,
/// −e (ln(1 + s) − w ln s) in f. Complexity O(1) a row.
public struct BrokenPowerLaw: ScalingForm {
  /// A law with one smooth break.
  public init() {}
  /// `broken-power`
  public let name = "broken-power"
  /// The law as text.
  public let formula = "c + a*x^(-b) * (1 + (x/d)^(1/f))^(-e*f)"
  /// One variable.
  public let variables = ["x"]
  /// The level that is approached.
  public let floor: String? = "c"
  /// a, d, f > 0, c ≥ 0, slopes any.
  public let parameters: [FormParameter] = [
    .linear("c", .positive), .linear("a", .positive),
    .nonlinear("b", grid: [-1, -0.5, -0.1, 0.1, 0.3, 0.6, 1]), .nonlinear("d", .positive, grid: []),
    .nonlinear("e", grid: [-1.5, -0.7, -0.3, 0.3, 0.7, 1.5]),
    .nonlinear("f", .positive, grid: [0.1, 0.5]),
  ]

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let (c, a, b, d, e, f) = (theta[0], theta[1], theta[2], theta[3], theta[4], theta[5])
    let l = logarithm(x[0])
    let t = (l - logarithm(d)) / f
    // ln(1 + e^t) without overflow.
    let soft = max(t, 0) + Double.log(onePlus: exponential(-abs(t)))
    let w = 1 / (1 + exponential(-t))
    let power = exponential(-b * l - e * f * soft)
    gradient[0] = 1
    gradient[1] = power
    gradient[2] = -a * power * l
    gradient[3] = a * power * e * w / d
    gradient[4] = -a * power * f * soft
    gradient[5] = -a * power * e * (soft - w * t)
    return c + a * power
  }

  /// Breaks inside the data, in equal steps of ln x.
  public func starts(for data: FitData, space: FitSpace) -> [[Double]] {
    let logs = data.columns[0].map(logarithm)
    guard let low = logs.min(), let high = logs.max() else { return [] }
    var grids = parameters.map(\.grid)
    grids[3] = (1...6).map { exponential(low + (high - low) * Double($0) / 7) }
    return projectedStarts(form: self, data: data, space: space, grids: grids)
  }

  /// x must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: formula) }
}
