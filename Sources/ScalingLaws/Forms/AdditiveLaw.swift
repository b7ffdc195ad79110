import LeastSquares

/// L(N, D, C) = (N/N₀)^−a + (D/D₀)^−b + (C/C₀)^−c + L₀
///
/// Each resource adds a term of its own; N₀, D₀ and C₀ are the amounts at which a term is one. With
/// t = (N/N₀)^−a: ∂N₀ = a t/N₀, ∂a = −t ln(N/N₀).
public struct AdditiveLaw: ScalingForm {
  /// The law of parameters, tokens and compute.
  public init() {}
  /// `additive`
  public let name = "additive"
  /// The law as text.
  public let formula = "(N/N0)^(-a) + (D/D0)^(-b) + (C/C0)^(-c) + L0"
  /// Parameters, tokens, compute.
  public let variables = ["N", "D", "C"]
  /// The irreducible loss.
  public let floor: String? = "L0"
  /// Scales and floor positive, exponents any.
  public let parameters: [FormParameter] = [
    .nonlinear("N0", .positive, grid: []), .nonlinear("a", grid: AdditiveLaw.exponents),
    .nonlinear("D0", .positive, grid: []), .nonlinear("b", grid: AdditiveLaw.exponents),
    .nonlinear("C0", .positive, grid: []), .nonlinear("c", grid: AdditiveLaw.exponents),
    .linear("L0", .positive),
  ]
  private static let exponents = [0.07, 0.2, 0.35, 0.5, 0.8]

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    var total = theta[6]
    for k in 0..<3 {
      let (scale, exponent) = (theta[2 * k], theta[2 * k + 1])
      let ratio = logarithm(x[k]) - logarithm(scale)
      let term = exponential(-exponent * ratio)
      gradient[2 * k] = exponent * term / scale
      gradient[2 * k + 1] = -term * ratio
      total += term
    }
    gradient[6] = 1
    return total
  }

  /// For given exponents the law is linear in N₀^a, D₀^b, C₀^c and L₀, which are solved for.
  public func starts(for data: FitData, space: FitSpace) -> [[Double]] {
    let linear = AdditiveTerms()
    let exponents = AdditiveLaw.exponents
    return projectedStarts(
      form: linear, data: data, space: space, grids: [[], exponents, [], exponents, [], exponents, []]
    ).compactMap { theta in
      var start = theta
      for k in 0..<3 { start[2 * k] = power(theta[2 * k], 1 / theta[2 * k + 1]) }
      return start.allSatisfy({ $0.isFinite }) && start[0] > 0 && start[2] > 0 && start[4] > 0 ? start : nil
    }
  }

  /// Sizes must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: formula) }
}

/// The additive law with A = N₀^a and so on, linear in A, B, Γ and L₀: where its starts come from.
private struct AdditiveTerms: ScalingForm {
  let name = "additive-terms"
  let formula = "A*N^(-a) + B*D^(-b) + G*C^(-c) + L0"
  let variables = ["N", "D", "C"]
  let parameters: [FormParameter] = [
    .linear("A", .positive), .nonlinear("a", grid: []), .linear("B", .positive), .nonlinear("b", grid: []),
    .linear("G", .positive), .nonlinear("c", grid: []), .linear("L0", .positive),
  ]
  func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    var total = theta[6]
    for k in 0..<3 {
      let l = logarithm(x[k])
      let term = exponential(-theta[2 * k + 1] * l)
      gradient[2 * k] = term
      gradient[2 * k + 1] = -theta[2 * k] * term * l
      total += theta[2 * k] * term
    }
    gradient[6] = 1
    return total
  }
}
