import Basics

/// The values that a parameter may take. The solver knows no bounds: it moves an unbounded image.
public enum Domain: Sendable, Equatable {
  /// Any number.
  case real
  /// θ > 0, moved as ln θ; intervals are found on that scale too.
  case positive
  /// θ ≥ bound, moved as ln(θ − bound).
  case atLeast(Double)
  /// θ ≤ bound, moved as −ln(bound − θ).
  case atMost(Double)
  /// low ≤ θ ≤ high, moved as a logit.
  case within(Double, Double)

  /// The unbounded image of a value; nil when the value is not inside.
  package func image(of value: Double) -> Double? {
    switch self {
    case .real: value
    case .positive: value > 0 ? logarithm(value) : nil
    case .atLeast(let low): value > low ? logarithm(value - low) : nil
    case .atMost(let high): value < high ? -logarithm(high - value) : nil
    case .within(let low, let high):
      value > low && value < high ? logarithm((value - low) / (high - value)) : nil
    }
  }

  /// The value that an image stands for.
  func value(of image: Double) -> Double {
    switch self {
    case .real: image
    case .positive: exponential(image)
    case .atLeast(let low): low + exponential(image)
    case .atMost(let high): high - exponential(-image)
    case .within(let low, let high): low + (high - low) / (1 + exponential(-image))
    }
  }

  /// dθ/du at a value.
  func slope(at value: Double) -> Double {
    switch self {
    case .real: 1
    case .positive: value
    case .atLeast(let low): value - low
    case .atMost(let high): high - value
    case .within(let low, let high): (value - low) * (high - value) / (high - low)
    }
  }

  /// The ends of the domain; `.positive` has 0 as a limit that a fit may run into.
  var ends: (low: Double?, high: Double?) {
    switch self {
    case .real: (nil, nil)
    case .positive: (0, nil)
    case .atLeast(let low): (low, nil)
    case .atMost(let high): (nil, high)
    case .within(let low, let high): (low, high)
    }
  }

  /// A value moved inside by a little, for starts given on or beyond a bound.
  package func clamped(_ value: Double, scale: Double) -> Double {
    let inch = max(abs(scale), 1e-300) * 1e-3
    switch self {
    case .real: return value
    case .positive: return value > 0 ? value : inch
    case .atLeast(let low): return value > low ? value : low + inch
    case .atMost(let high): return value < high ? value : high - inch
    case .within(let low, let high):
      let margin = (high - low) * 1e-3
      return min(max(value, low + margin), high - margin)
    }
  }
}

/// One parameter of a form, declared once: name, domain, whether the form is linear in it, where to start.
public struct FormParameter: Sendable, Equatable {
  /// The name in tables, JSON and `--start`.
  public let name: String
  /// The values allowed.
  public let domain: Domain
  /// Whether the form is linear in this parameter and the other linear ones together: such a start is solved for.
  public let isLinear: Bool
  /// Values to start from, when it is not linear.
  public let grid: [Double]

  /// A parameter in which the form is linear.
  public static func linear(_ name: String, _ domain: Domain = .real) -> FormParameter {
    FormParameter(name: name, domain: domain, isLinear: true, grid: [])
  }
  /// A parameter that needs starting values.
  public static func nonlinear(_ name: String, _ domain: Domain = .real, grid: [Double]) -> FormParameter {
    FormParameter(name: name, domain: domain, isLinear: false, grid: grid)
  }
}

/// A law to be fitted: its parameters, its value and its exact gradient.
///
/// A user's own form needs `name`, `formula`, `variables`, `parameters` and the evaluation of one row; the
/// starts come from the grids of the nonlinear parameters, with the linear ones solved for (variable
/// projection). Forms that are evaluated often implement the evaluation of all rows as well.
public protocol ScalingForm: Sendable {
  /// The name by which `--form` knows it.
  var name: String { get }
  /// The law as a formula that `FormulaForm` could read.
  var formula: String { get }
  /// Canonical names of the variables; columns are bound to them in order.
  var variables: [String] { get }
  /// The parameter that is an irreducible floor of the response, if the law has one.
  var floor: String? { get }
  /// The parameters, in order.
  var parameters: [FormParameter] { get }
  /// The value at one row `x`; writes ∂f/∂θ to `gradient`, which has one place per parameter.
  func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double
  /// The values at all rows, and when `gradient` is not empty ∂f/∂θ, `[rows, parameters]` in row order.
  func evaluate(_ theta: [Double], on columns: Columns, values: inout [Double], gradient: inout [Double])
  /// Starting points of the multi-start search, best guesses first or in any order; the default is the grid with variable projection.
  func starts(for data: FitData, space: FitSpace) -> [[Double]]
  /// The domain error of columns that cannot be fitted (a negative size under a power), or nil.
  func domainError(on data: FitData) -> String?
}

extension ScalingForm {
  /// No floor.
  public var floor: String? { nil }

  /// Evaluates row by row.
  public func evaluate(
    _ theta: [Double], on columns: Columns, values: inout [Double], gradient: inout [Double]
  ) {
    let p = theta.count
    let wantsGradient = !gradient.isEmpty
    var x = [Double](repeating: 0, count: columns.values.count)
    var row = [Double](repeating: 0, count: p)
    for i in 0..<columns.count {
      for j in x.indices { x[j] = columns.values[j][i] }
      values[i] = evaluate(theta, at: x, gradient: &row)
      if wantsGradient { for j in 0..<p { gradient[i * p + j] = row[j] } }
    }
  }

  /// The grid of nonlinear values with the linear parameters solved for.
  public func starts(for data: FitData, space: FitSpace) -> [[Double]] {
    projectedStarts(form: self, data: data, space: space, grids: parameters.map(\.grid))
  }

  /// None.
  public func domainError(on data: FitData) -> String? { nil }

  /// The value at one row.
  public func value(_ theta: [Double], at x: [Double]) -> Double {
    var gradient = [Double](repeating: 0, count: theta.count)
    return evaluate(theta, at: x, gradient: &gradient)
  }

  /// The row that is not positive in one of the variables, as a domain error; for forms with powers of them.
  package func domainErrorOfNonPositive(_ data: FitData, law: String) -> String? {
    for (name, column) in zip(data.names, data.columns) {
      if let bad = column.firstIndex(where: { $0 <= 0 }) {
        return
          "column '\(shown(name))', \(data.rowWord) \(data.rowNumbers[bad]): \(column[bad]) is not positive, and \(law) takes powers of it"
      }
    }
    return nil
  }
}
