import LeastSquares
import RealModule

/// L(N, D, U) = E + A/N′^α + B/D′^β: N parameters trained on D tokens, of which U are unique.
///
/// D′ = U + U·R_D(1 − exp(−r_D/R_D)) with r_D = D/U − 1 repetitions: a token read again is worth less. Likewise
/// N′ = V + V·R_N(1 − exp(−r_N/R_N)) with r_N = N/V − 1: parameters beyond V, the size that the law itself calls
/// compute-optimal for U tokens, are worth less. V is where αA/V^α = βB/U^β, or N if that is smaller; D and U likewise,
/// so nothing is taken off where nothing is in excess. R is the excess after which 1 − 1/e of all that it can give
/// is reached; R_N held at a large number (`--fix RN=1e9`) leaves the data term alone.
/// Source: Muennighoff et al. 2023, equations 5 and 6. With q = exp(−r/R): ∂X′/∂X = q, ∂X′/∂R = U(1 − q − r q/R),
/// ∂N′/∂V = 1 + R(1 − q) − (1 + r) q. Complexity O(1) a row.
public struct DataConstrained: ScalingForm {
  /// The law for repeated data and excess parameters.
  public init() {}
  /// `data-constrained`
  public let name = "data-constrained"
  /// The law as text.
  public let formula = """
    E + A/(min(N,V) + V*RN*(1 - exp(-max(N/V - 1, 0)/RN)))^alpha \
    + B/(min(D,U) + U*RD*(1 - exp(-max(D/U - 1, 0)/RD)))^beta
    """.replacing("V", with: DataConstrained.optimum)
  private static let optimum = "(alpha*A*U^beta/(beta*B))^(1/alpha)"
  /// Parameters, tokens seen, unique tokens.
  public let variables = ["N", "D", "U"]
  /// The irreducible loss.
  public let floor: String? = "E"
  /// All positive: the optimal size for U tokens needs positive exponents.
  public let parameters: [FormParameter] = [
    .linear("E", .positive), .nonlinear("A", .positive, grid: []), .nonlinear("B", .positive, grid: []),
    .nonlinear("alpha", .positive, grid: Chinchilla.exponents),
    .nonlinear("beta", .positive, grid: Chinchilla.exponents),
    .nonlinear("RD", .positive, grid: DataConstrained.excesses),
    .nonlinear("RN", .positive, grid: DataConstrained.excesses),
  ]
  static let excesses = [1.0, 4, 16, 64]

  /// What an amount in excess of `base` is worth, and its derivatives in the base and in R.
  static func worth(_ amount: Double, base: Double, _ r: Double) -> (value: Double, base: Double, r: Double) {
    guard amount > base else { return (amount, 0, 0) }
    let excess = amount / base - 1
    let decay = exponential(-excess / r)
    let gain = -Double.expMinusOne(-excess / r)
    return (base * (1 + r * gain), 1 + r * gain - (1 + excess) * decay, base * (gain - excess / r * decay))
  }

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let (e, ca, cb, alpha, beta) = (theta[0], theta[1], theta[2], theta[3], theta[4])
    let logU = logarithm(x[2])
    let logV = (logarithm(alpha * ca / (beta * cb)) + beta * logU) / alpha
    let optimum = exponential(logV)
    let data = DataConstrained.worth(x[1], base: x[2], theta[5])
    let size = DataConstrained.worth(x[0], base: optimum, theta[6])
    let (n, d) = (logarithm(size.value), logarithm(data.value))
    let (u, v) = (exponential(-alpha * n), exponential(-beta * d))
    // ∂L/∂N′ and ∂L/∂D′; the optimal size depends on A, B, α and β.
    let (slopeN, slopeD) = (-ca * alpha * u / size.value, -cb * beta * v / data.value)
    let throughV = slopeN * size.base * optimum / alpha
    gradient[0] = 1
    gradient[1] = u + throughV / ca
    gradient[2] = v - throughV / cb
    gradient[3] = -ca * u * n + throughV * (1 / alpha - logV)
    gradient[4] = -cb * v * d + throughV * (logU - 1 / beta)
    gradient[5] = slopeD * data.r
    gradient[6] = slopeN * size.r
    return e + ca * u + cb * v
  }

  /// The law without excess parameters is linear in E, A and B, which are solved for.
  public func starts(for data: FitData, space: FitSpace) -> [[Double]] {
    let terms = RepeatedData()
    return projectedStarts(form: terms, data: data, space: space, grids: terms.parameters.map(\.grid))
      .flatMap { theta in DataConstrained.excesses.map { theta + [$0] } }
  }

  /// Sizes must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: "the law") }
}

/// The data-constrained law with N′ = N: where its starts come from.
private struct RepeatedData: ScalingForm {
  let name = "repeated-data"
  let formula = "E + A/N^alpha + B/(min(D,U) + U*RD*(1 - exp(-max(D/U - 1, 0)/RD)))^beta"
  let variables = ["N", "D", "U"]
  let parameters: [FormParameter] = [
    .linear("E", .positive), .linear("A", .positive), .linear("B", .positive),
    .nonlinear("alpha", .positive, grid: Chinchilla.exponents),
    .nonlinear("beta", .positive, grid: Chinchilla.exponents),
    .nonlinear("RD", .positive, grid: DataConstrained.excesses),
  ]
  func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let data = DataConstrained.worth(x[1], base: x[2], theta[5])
    let (n, d) = (logarithm(x[0]), logarithm(data.value))
    let (u, v) = (exponential(-theta[3] * n), exponential(-theta[4] * d))
    gradient[0] = 1
    gradient[1] = u
    gradient[2] = v
    gradient[3] = -theta[1] * u * n
    gradient[4] = -theta[2] * v * d
    gradient[5] = -theta[2] * theta[4] * v / data.value * data.r
    return theta[0] + theta[1] * u + theta[2] * v
  }
}
