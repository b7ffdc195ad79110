import LeastSquares

/// Laws that are linear in all their parameters: constant, straight line, parabola and n log n.
public struct LinearCombination: ScalingForm {
  /// What multiplies a parameter.
  public enum Term: Sendable {
    /// 1
    case one
    /// x
    case x
    /// x²
    case square
    /// x ln x
    case xLogX
  }
  /// The name in `--form`.
  public let name: String
  /// The law as text.
  public let formula: String
  /// One variable.
  public let variables = ["x"]
  /// Real coefficients.
  public let parameters: [FormParameter]
  private let terms: [Term]

  private init(_ name: String, _ formula: String, _ terms: [(String, Term)]) {
    self.name = name
    self.formula = formula
    self.terms = terms.map(\.1)
    parameters = terms.map { .linear($0.0) }
  }

  /// y = a
  public static let constant = LinearCombination("constant", "a", [("a", .one)])
  /// y = a + b·x
  public static let linear = LinearCombination("linear", "a + b*x", [("a", .one), ("b", .x)])
  /// y = a + b·x + c·x²
  public static let quadratic = LinearCombination(
    "quadratic", "a + b*x + c*x^2", [("a", .one), ("b", .x), ("c", .square)])
  /// y = a + b·x·ln x
  public static let nLogN = LinearCombination("nlogn", "a + b*x*log(x)", [("a", .one), ("b", .xLogX)])

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    var total = 0.0
    for (j, term) in terms.enumerated() {
      let value =
        switch term {
        case .one: 1.0
        case .x: x[0]
        case .square: x[0] * x[0]
        case .xLogX: x[0] * logarithm(x[0])
        }
      gradient[j] = value
      total += theta[j] * value
    }
    return total
  }

  /// x must be positive for n log n.
  public func domainError(on data: FitData) -> String? {
    name == "nlogn" ? domainErrorOfNonPositive(data, law: formula) : nil
  }
}
