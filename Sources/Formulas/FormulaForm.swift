import Basics
import LeastSquares

/// A law given as text, with exact derivatives.
///
/// Names that are columns of the data are variables, all others parameters, in order of appearance. Parameters in
/// which the law is linear are found from the formula and solved for at every start; for the others a grid is made
/// from their place in it and from the data: places within the data, widths of its span, rates of one over it.
public struct FormulaForm: ScalingForm {
  /// `formula`
  public let name = "formula"
  /// The text as given.
  public let formula: String
  /// The columns that occur, in order of appearance.
  public let variables: [String]
  /// The other names, in order of appearance.
  public let parameters: [FormParameter]
  /// What stands left of `=`, when the formula has a left side: the response as a function of columns.
  public let response: FormulaExpression?
  private let law: FormulaExpression
  private let tape: Tape

  /// Reads a formula over columns.
  ///
  /// - Parameters:
  ///   - text: `law` or `response = law`.
  ///   - columns: names that are data.
  ///   - domains: values allowed, by parameter name; any number for those not named.
  /// - Throws: `FitError` naming the column of the mistake, or a formula without parameters.
  public init(_ text: String, columns: [String], domains: [String: Domain] = [:]) throws(FitError) {
    let (left, right) = FormulaExpression.sides(of: text)
    let law = try FormulaExpression(parsing: right, columns: columns)
    response = try left.map { left throws(FitError) in
      do {
        return try FormulaExpression(resolving: left, columns: columns)
      } catch {
        throw FitError(.badFormula, "formula '\(shown(text))', left of '=': \(error)")
      }
    }
    let names = law.names
    let known = Set(columns)
    variables = names.filter(known.contains)
    let free = names.filter { !known.contains($0) }
    guard !free.isEmpty else {
      throw FitError(
        .badFormula, "formula '\(shown(text))' has no parameter: every name in it is a column of the data")
    }
    if let unknown = domains.keys.sorted().first(where: { !free.contains($0) }) {
      throw FitError(.badOption, "bound: the formula has no parameter '\(shown(unknown))'")
    }
    formula = right
    self.law = law
    tape = try Tape(law, variables: variables, parameters: free)
    var linear: Set<String> = []
    for name in free where law.degree(in: linear.union([name])) <= 1 { linear.insert(name) }
    parameters = free.map { name in
      let domain = domains[name] ?? .real
      return linear.contains(name)
        ? .linear(name, domain)
        : .nonlinear(name, domain, grid: [])
    }
  }

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    var value = [0.0]
    tape.evaluate(theta, x.map { [$0] }, values: &value, gradient: &gradient)
    return value[0]
  }

  /// All rows.
  public func evaluate(
    _ theta: [Double], on columns: Columns, values: inout [Double], gradient: inout [Double]
  ) {
    tape.evaluate(theta, columns.values, values: &values, gradient: &gradient)
  }

  /// Grids from the place of each parameter in the formula (`StartGrid`), with the linear parameters solved for.
  public func starts(for data: FitData, space: FitSpace) -> [[Double]] {
    let nonlinear = parameters.filter { !$0.isLinear }.map(\.name)
    let places = StartGrid(law, variables: variables, nonlinear: nonlinear, data: data)
    let grids = parameters.map { parameter -> [Double] in
      guard !parameter.isLinear else { return [] }
      let grid = places.values(of: parameter.name)
      let inside = grid.filter { parameter.domain.image(of: $0) != nil }
      return inside.isEmpty ? grid.map { parameter.domain.clamped($0, scale: 1) } : inside
    }
    return projectedStarts(form: self, data: data, space: space, grids: grids)
  }
}
