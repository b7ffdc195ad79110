import LeastSquares

/// L(N, D) = E + A/N^α + B/D^β
///
/// Source: Hoffmann et al. 2022, approach 3. Gradient: ∂E = 1, ∂A = N^−α, ∂α = −A N^−α ln N, likewise for D.
public struct Chinchilla: ScalingForm {
  /// The law of loss against parameters and tokens.
  public init() {}
  /// `chinchilla`
  public let name = "chinchilla"
  /// E + A/N^α + B/D^β
  public let formula = "E + A/N^alpha + B/D^beta"
  /// Parameters, tokens.
  public let variables = ["N", "D"]
  /// The irreducible loss.
  public let floor: String? = "E"
  /// E, A, B > 0; exponents any.
  public let parameters: [FormParameter] = [
    .linear("E", .positive), .linear("A", .positive), .linear("B", .positive),
    .nonlinear("alpha", grid: Chinchilla.exponents), .nonlinear("beta", grid: Chinchilla.exponents),
  ]
  static let exponents = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.3]

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let (n, d) = (logarithm(x[0]), logarithm(x[1]))
    let (u, v) = (exponential(-theta[3] * n), exponential(-theta[4] * d))
    let (a, b) = (theta[1] * u, theta[2] * v)
    gradient[0] = 1
    gradient[1] = u
    gradient[2] = v
    gradient[3] = -a * n
    gradient[4] = -b * d
    return theta[0] + a + b
  }

  /// All rows, with the logarithms already taken.
  public func evaluate(
    _ theta: [Double], on columns: Columns, values: inout [Double], gradient: inout [Double]
  ) {
    let (e, ca, cb, alpha, beta) = (theta[0], theta[1], theta[2], theta[3], theta[4])
    let wants = !gradient.isEmpty
    let (logN, logD) = (columns.logs[0], columns.logs[1])
    for i in 0..<columns.count {
      let (n, d) = (logN[i], logD[i])
      let (u, v) = (exponential(-alpha * n), exponential(-beta * d))
      let (a, b) = (ca * u, cb * v)
      values[i] = e + a + b
      if wants {
        gradient[5 * i] = 1
        gradient[5 * i + 1] = u
        gradient[5 * i + 2] = v
        gradient[5 * i + 3] = -a * n
        gradient[5 * i + 4] = -b * d
      }
    }
  }

  /// Sizes must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: formula) }
}
