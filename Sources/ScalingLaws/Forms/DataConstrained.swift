/// L(N, D, U) = E + A/N^α + B/D′^β with D′ = U + U·R·(1 − exp(−(D/U − 1)/R)): D tokens drawn from U unique ones.
///
/// A token read again is worth less; R is the number of repetitions after which repeating has given 1 − 1/e of all
/// it can. Where D ≤ U nothing is repeated and D′ = D. Source: Muennighoff et al. 2023, the data term.
public struct DataConstrained: ScalingForm {
  /// The law for repeated data.
  public init() {}
  /// `data-constrained`
  public let name = "data-constrained"
  /// The law as text.
  public let formula =
    "E + A/N^alpha + B/(min(D,U) + U*R*(1 - exp(-max(D/U - 1, 0)/R)))^beta"
  /// Parameters, tokens seen, unique tokens.
  public let variables = ["N", "D", "U"]
  /// The irreducible loss.
  public let floor: String? = "E"
  /// E, A, B, R > 0; exponents any.
  public let parameters: [FormParameter] = [
    .linear("E", .positive), .linear("A", .positive), .linear("B", .positive),
    .nonlinear("alpha", grid: Chinchilla.exponents), .nonlinear("beta", grid: Chinchilla.exponents),
    .nonlinear("R", .positive, grid: [1, 4, 16, 64]),
  ]

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let (e, ca, cb, alpha, beta, r) = (theta[0], theta[1], theta[2], theta[3], theta[4], theta[5])
    let (n, unique) = (logarithm(x[0]), min(x[1], x[2]))
    let repeats = max(x[1] / x[2] - 1, 0)
    let decay = exponential(-repeats / r)
    let worth = unique + x[2] * r * (1 - decay)
    let d = logarithm(worth)
    let (u, v) = (exponential(-alpha * n), exponential(-beta * d))
    gradient[0] = 1
    gradient[1] = u
    gradient[2] = v
    gradient[3] = -ca * u * n
    gradient[4] = -cb * v * d
    gradient[5] = -cb * beta * v / worth * x[2] * (1 - decay - repeats / r * decay)
    return e + ca * u + cb * v
  }

  /// Sizes must be positive.
  public func objection(to data: FitData) -> String? { objectionToNonPositive(data, law: formula) }
}
