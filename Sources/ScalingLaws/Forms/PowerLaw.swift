import LeastSquares

/// y = a·x^b
public struct PowerLaw: ScalingForm {
  /// The law of a straight line in log–log axes.
  public init() {}
  /// `power`
  public let name = "power"
  /// a·x^b
  public let formula = "a * x^b"
  /// One variable.
  public let variables = ["x"]
  /// a > 0, b any.
  public let parameters: [FormParameter] = [
    .linear("a", .positive), .nonlinear("b", grid: [-2, -1, -0.5, -0.25, -0.1, 0.1, 0.5, 1, 1.5, 2, 3]),
  ]
  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let l = logarithm(x[0])
    let power = exponential(theta[1] * l)
    gradient[0] = power
    gradient[1] = theta[0] * power * l
    return theta[0] * power
  }
  /// All rows, with the logarithms already taken.
  public func evaluate(
    _ theta: [Double], on columns: Columns, values: inout [Double], gradient: inout [Double]
  ) {
    let (a, b, wants) = (theta[0], theta[1], !gradient.isEmpty)
    for i in 0..<columns.count {
      let l = columns.logs[0][i]
      let power = exponential(b * l)
      values[i] = a * power
      if wants {
        gradient[2 * i] = power
        gradient[2 * i + 1] = a * power * l
      }
    }
  }
  /// x must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: formula) }
}

/// y = a·x^b + c, or with `decays` y = a·x^−b + c with c ≥ 0 (an irreducible loss).
public struct PowerLawOffset: ScalingForm {
  /// Whether the exponent is written with a minus.
  public let decays: Bool
  private let sign: Double

  /// A power law above a floor.
  public init(decays: Bool = false) {
    self.decays = decays
    sign = decays ? -1 : 1
  }
  /// `power-offset` or `power-decay`
  public var name: String { decays ? "power-decay" : "power-offset" }
  /// a·x^±b + c
  public var formula: String { decays ? "a * x^(-b) + c" : "a * x^b + c" }
  /// One variable.
  public var variables: [String] { ["x"] }
  /// c, when it is an irreducible loss.
  public var floor: String? { decays ? "c" : nil }
  /// a > 0, b any, c any or c ≥ 0.
  public var parameters: [FormParameter] {
    let exponents = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3]
    return [
      .linear("a", .positive),
      .nonlinear("b", grid: decays ? exponents : exponents + [-0.1, -0.3, -0.5, -1, -2]),
      .linear("c", decays ? .positive : .real),
    ]
  }
  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let l = sign * logarithm(x[0])
    let power = exponential(theta[1] * l)
    gradient[0] = power
    gradient[1] = theta[0] * power * l
    gradient[2] = 1
    return theta[0] * power + theta[2]
  }
  /// All rows, with the logarithms already taken.
  public func evaluate(
    _ theta: [Double], on columns: Columns, values: inout [Double], gradient: inout [Double]
  ) {
    let (a, b, c, wants) = (theta[0], theta[1] * sign, theta[2], !gradient.isEmpty)
    for i in 0..<columns.count {
      let l = columns.logs[0][i]
      let power = exponential(b * l)
      values[i] = a * power + c
      if wants {
        gradient[3 * i] = power
        gradient[3 * i + 1] = a * power * l * sign
        gradient[3 * i + 2] = 1
      }
    }
  }
  /// x must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: formula) }
}
