import Basics
import CGSL
import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares
@testable import ScalingLaws

/// Every trap of GSL's nonlinear least squares that `fitting.md` names: what the library does by itself, and that
/// none of it reaches a user of `Fitter`.
@Suite("GSL's traps")
struct GSLTrapTests {
  /// A form that counts nothing and fails where it is told to.
  private struct Fragile: ScalingForm {
    let name = "fragile"
    let formula = "a*exp(-b*x)"
    let variables = ["x"]
    let parameters: [FormParameter] = [.linear("a"), .nonlinear("b", grid: [0.1, 1])]
    /// Above this b the value is this.
    let limit: Double
    let beyond: Double
    func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
      let power = exponential(-theta[1] * x[0])
      gradient[0] = power
      gradient[1] = -theta[0] * x[0] * power
      return theta[1] > limit ? beyond : theta[0] * power
    }
  }

  private func data(_ b: Double) throws -> FitData {
    let x = [0.0, 0.5, 1, 1.5, 2, 2.5, 3, 4]
    let y = x.enumerated().map { k, v in 3 * exponential(-b * v) + (k % 2 == 0 ? 0.01 : -0.01) }
    return try FitData(x: x, y: y)
  }

  private func options(b: Double) -> FitOptions {
    var options = FitOptions(space: .raw)
    options.start = ["a": 1, "b": b]
    options.onlyGivenStart = true
    return options
  }

  @Test(
    "1, 2: a loss scaled to a mean of 1e-12 ends where the summed one does, though gtol is absolute",
    arguments: [1, 1e-6, 1e-12, 1e9])
  func scaled(factor: Double) throws {
    let plain = try data(0.7)
    let form = try FormulaForm("a*exp(-b*x)", columns: ["x"])
    let one = try Fitter(form, options: options(b: 0.2)).fit(plain)
    var start = options(b: 0.2)
    start.start["a"] = factor
    let other = try Fitter(form, options: start).fit(
      FitData(x: plain.columns[0], y: plain.response.map { $0 * factor }))
    #expect(one.converged && other.converged)
    #expect(agree(one.parameters["b"]?.value, other.theta[1], 1e-9))
    #expect(agree(one.parameters["b"]?.standardError, other.parameters["b"]?.standardError ?? 0, 1e-6))
    #expect(agree(one.theta[0] * factor, other.theta[0], 1e-9))
  }

  @Test("2: the verdict is the gradient's: a point stopped early is not called an optimum")
  func verdict() throws {
    let problem = Problem(
      form: try FormulaForm("a*exp(-b*x)", columns: ["x"]), data: try data(0.7), space: .raw, loss: .squares,
      domains: [.real, .real], free: [0, 1], base: [0, 0])
    let early = try #require(
      NonlinearSolver(method: .levenbergMarquardt, maxIterations: 1).minimise(problem, from: [1, 0.2]))
    var polish = Polish(problem)
    let judged = polish.verdict(at: early.u)
    #expect(judged?.isConverged == false)
    let followed = polish.run(from: early.u)
    #expect(followed?.isConverged == true)
  }

  @Test(
    "3: rows that are not finite never pass as an optimum", arguments: [Double.nan, .infinity, -.infinity])
  func notFinite(beyond: Double) throws {
    // Beyond b = 0.75 the law has no value, on the way from 0.2 to 0.7 steps overshoot there.
    let fit = try Fitter(Fragile(limit: 0.75, beyond: beyond), options: options(b: 0.2)).fit(data(0.7))
    #expect(fit.converged)
    #expect(abs(fit.theta[1] - 0.7) < 0.02)
    // The true optimum is out of reach: the fit ends at the edge and says that it is none.
    let cut = try Fitter(Fragile(limit: 0.5, beyond: beyond), options: options(b: 0.2)).fit(data(0.7))
    #expect(!cut.converged)
    #expect(cut.warnings.contains { $0.code == "not-converged" })
    #expect(cut.residuals.allSatisfy { $0.isFinite })
  }

  @Test("3, 4: a start without a value is refused with a line, not reported as too many iterations")
  func start() throws {
    let rows = try data(0.7)
    let error = #expect(throws: FitError.self) {
      try Fitter(Fragile(limit: 0.1, beyond: .nan), options: options(b: 0.2)).fit(rows)
    }
    #expect(error?.kind == .noSolution)
  }

  @Test("5: the covariance is scaled by the residuals, and dependent parameters are not identified")
  func covariance() throws {
    let x = [1.0, 2, 3, 4, 5, 6, 7, 8]
    let y = [2.1, 3.9, 6.2, 7.8, 10.1, 12.2, 13.8, 16.1]
    var options = FitOptions(space: .raw)
    options.interval = .wald
    let one = try Fitter(LinearCombination.linear, options: options).fit(FitData(x: x, y: y))
    let ten = try Fitter(LinearCombination.linear, options: options).fit(FitData(x: x, y: y.map { 10 * $0 }))
    let error = try #require(one.parameters["b"]?.standardError)
    #expect(agree(ten.parameters["b"]?.standardError, 10 * error, 1e-9))
    let dependent = try Fitter(FormulaForm("(a + b)*x", columns: ["x"]), options: options).fit(
      FitData(x: x, y: y))
    for name in ["a", "b"] {
      #expect(dependent.parameters[name]?.interval == "not-identified")
      #expect(dependent.parameters[name]?.value == nil)
      #expect(dependent.parameters[name]?.standardError == nil)
    }
    #expect(dependent.warnings.contains { $0.code == "not-identified" })
    #expect(dependent.conditionNumber == nil)
  }

  @Test("6: an error inside GSL comes back as a status instead of ending the process")
  func handler() throws {
    let problem = Problem(
      form: PowerLaw(), data: try FitData(x: [1, 2, 3], y: [1, 2, 3]), space: .log, loss: .squares,
      domains: [.positive, .real], free: [0, 1], base: [1, 1])
    #expect(NonlinearSolver().minimise(problem, from: [0, 1]) != nil)
    // The handler is off by now: this would abort otherwise.
    #expect(attnlab_nlinear_alloc(0, 0, 1, 3) == nil)
  }

  @Test(
    "7: bounds hold by transformation, and a parameter that runs into one is named", arguments: [-0.5, 0.5])
  func bounds(truth: Double) throws {
    let x = doublings(from: 1, to: 512)
    var noise = TestNoise(6)
    let y = x.map { 5 + 2 / $0 + truth + 0.001 * noise.normal() }
    var options = FitOptions(space: .raw)
    options.domains = ["c": .atLeast(5)]
    let form = try FormulaForm("a/x + c", columns: ["x"])
    let fit = try Fitter(form, options: options).fit(FitData(x: x, y: y))
    let c = try #require(fit.parameters["c"])
    let value = try #require(c.value)
    #expect(value >= 5)
    if truth < 0 {
      #expect(c.interval == "at-bound" && c.value == 5 && c.standardError == nil)
      #expect(fit.warnings.contains { $0.code == "at-bound" })
    } else {
      #expect(agree(c.value, 5.5, 1e-3) && c.standardError != nil)
    }
  }

  @Test(
    "7: Huber's loss is exact: the change of residual has the loss as half its square",
    arguments: [-3.0, -0.01, 0, 0.004, 0.2])
  func huber(residual: Double) throws {
    let delta = 0.01
    let problem = Problem(
      form: LinearCombination.constant, data: try FitData(x: [1, 2, 3], y: [1, 1, 1]), space: .raw,
      loss: .huber(delta: delta), domains: [.real], free: [0], base: [0])
    var z = [0.0, 0, 0]
    var jacobian = z
    _ = problem.transformed(at: [1 + residual], &z, jacobian: &jacobian)
    let expected = Problem.rho(residual, .huber(delta: delta)) / (delta * delta)
    #expect(abs(0.5 * z[0] * z[0] - expected) <= 1e-12 * (expected + 1))
    // z ∂z is ψ/δ², whatever the branch.
    #expect(abs(z[0] * jacobian[0] - Problem.psi(residual, .huber(delta: delta)) / (delta * delta)) < 1e-9)
  }

  @Test("8: GSL's tables are reached from many threads at once")
  func threads() throws {
    let data = try data(0.7)
    let groups = [FitData](repeating: data, count: 16)
    let fits = Fitter(try FormulaForm("a*exp(-b*x)", columns: ["x"]), options: options(b: 0.2)).fitAll(groups)
    let values = Set(fits.compactMap { try? $0.get().theta[1] })
    #expect(fits.count == 16 && values.count == 1)
  }
}
