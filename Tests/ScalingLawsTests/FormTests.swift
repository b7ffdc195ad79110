import Basics
import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares
@testable import ScalingLaws

/// Values of every form to test at: parameters of its usual size, then rows.
private let cases: [(any ScalingForm, [Double], [[Double]])] = [
  (PowerLaw(), [2e-6, 1.3], [[64], [5000]]),
  (PowerLawOffset(), [2e-6, 1.3, 0.4], [[64], [5000]]),
  (PowerLawOffset(decays: true), [3, 0.3, 1.7], [[64], [1e9]]),
  (LinearCombination.linear, [3, -0.2], [[64], [5000]]),
  (LinearCombination.quadratic, [3, -0.2, 1e-3], [[64], [5000]]),
  (LinearCombination.nLogN, [3, 0.2], [[64], [5000]]),
  (LinearCombination.constant, [3], [[64], [5000]]),
  (BrokenPowerLaw(), [0.5, 4, 0.3, 300, 0.7, 0.4], [[10], [300], [1e5]]),
  (Chinchilla(), [1.7, 406, 410, 0.34, 0.28], [[1e7, 1e9], [7e10, 1.4e12]]),
  (KaplanJoint(), [6.4e13, 1.8e13, 0.076, 0.103], [[1e7, 1e9], [1e9, 1e10]]),
  (AdditiveLaw(), [1e8, 0.2, 1e9, 0.3, 1e17, 0.1, 1.5], [[1e7, 1e9, 1e18], [1e9, 1e10, 1e20]]),
  (
    DataConstrained(), [1.7, 406, 410, 0.34, 0.28, 15, 5],
    [[1e8, 1e9, 2e9], [1e8, 1e10, 5e8], [1e10, 1e9, 2e9], [1e11, 3e10, 1e9], [1e5, 1e10, 1e9]]
  ),
]

@Suite("Forms")
struct FormTests {
  @Test("The written formula, read and differentiated, is the form", arguments: cases.indices)
  func formula(index: Int) throws {
    let (form, theta, rows) = cases[index]
    let text = try FormulaForm(form.formula, columns: form.variables)
    #expect(Set(text.parameters.map(\.name)) == Set(form.parameters.map(\.name)))
    let order = try text.parameters.map { parameter in
      try #require(form.parameters.firstIndex { $0.name == parameter.name })
    }
    for row in rows {
      var gradient = [Double](repeating: 0, count: theta.count)
      var other = gradient
      let value = form.evaluate(theta, at: row, gradient: &gradient)
      let textRow = text.variables.compactMap { name in form.variables.firstIndex(of: name).map { row[$0] } }
      let textValue = text.evaluate(order.map { theta[$0] }, at: textRow, gradient: &other)
      #expect(agree(value, textValue, 1e-11), "\(form.name)")
      for (k, j) in order.enumerated() {
        let size = abs(gradient[j]) + 1e-6 * abs(value / theta[j])
        #expect(abs(gradient[j] - other[k]) <= 1e-9 * size, "\(form.name) \(form.parameters[j].name)")
      }
    }
  }

  @Test("The evaluation of all rows is that of each row", arguments: cases.indices)
  func batch(index: Int) {
    let (form, theta, rows) = cases[index]
    let columns = Columns(form.variables.indices.map { j in rows.map { $0[j] } })
    var values = [Double](repeating: 0, count: rows.count)
    var gradient = [Double](repeating: 0, count: rows.count * theta.count)
    form.evaluate(theta, on: columns, values: &values, gradient: &gradient)
    for (i, row) in rows.enumerated() {
      var single = [Double](repeating: 0, count: theta.count)
      #expect(agree(form.evaluate(theta, at: row, gradient: &single), values[i], 1e-13))
      for j in theta.indices {
        #expect(abs(single[j] - gradient[i * theta.count + j]) <= 1e-12 * abs(single[j]))
      }
    }
  }

  @Test("Exact data of every form give back its value everywhere", arguments: cases.indices)
  func recovery(index: Int) throws {
    let (form, theta, _) = cases[index]
    var noise = TestNoise(UInt64(index) + 11)
    let n = 60
    let columns: [(String, [Double])] = form.variables.map { name in
      let range =
        form.variables.count == 1 ? (logarithm(10), logarithm(1e5)) : (logarithm(1e7), logarithm(1e11))
      return (name, (0..<n).map { _ in exponential(range.0 + (range.1 - range.0) * noise.uniform()) })
    }
    let y = (0..<n).map { i in form.value(theta, at: columns.map { $0.1[i] }) }
    // Negative slopes make some values negative, which have no logarithm.
    let space: FitSpace = y.allSatisfy { $0 > 0 } ? .log : .raw
    var options = FitOptions(space: space)
    options.interval = .wald
    options.influence = false
    let fit = try Fitter(form, options: options).fit(FitData(columns: columns, response: y))
    #expect(fit.converged, "\(form.name)")
    for i in 0..<n {
      #expect(agree(fit.value(at: columns.map { $0.1[i] }), y[i], 1e-6), "\(fit)")
    }
  }

  @Test("A user's own form needs one function")
  func own() throws {
    struct Saturation: ScalingForm {
      let name = "saturation"
      let formula = "a*x/(k + x)"
      let variables = ["x"]
      let parameters: [FormParameter] = [.linear("a"), .nonlinear("k", .positive, grid: [1, 10, 100])]
      func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
        gradient[0] = x[0] / (theta[1] + x[0])
        gradient[1] = -theta[0] * x[0] / ((theta[1] + x[0]) * (theta[1] + x[0]))
        return theta[0] * gradient[0]
      }
    }
    let x = doublings(from: 1, to: 1024)
    let fit = try Fitter(Saturation()).fit(FitData(x: x, y: x.map { 7 * $0 / (23 + $0) }))
    #expect(agree(fit.parameters["a"]?.value, 7, 1e-8))
    #expect(agree(fit.parameters["k"]?.value, 23, 1e-8))
  }

  @Test("A name that does not exist is answered with those that do")
  func unknown() {
    let error = #expect(throws: FitError.self) { try FormCatalog.form(named: "chinchila") }
    #expect(error?.description.contains("chinchilla, kaplan") == true)
  }
}
