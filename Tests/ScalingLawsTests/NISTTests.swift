import Testing

@testable import ScalingLaws

@Suite("NIST's certified nonlinear regressions")
struct NISTTests {
  static let isThere = NISTProblem.all != nil
  static let absent: Comment = "ATTNLAB_REFERENCE_DATA is not set: NIST's sets are not there"

  @Test(
    "Both starts of every set reach the certified values to 8 digits", .enabled(if: isThere, absent),
    arguments: NISTProblem.all ?? [], [0, 1])
  func certified(problem: NISTProblem, start: Int) throws {
    let fit = try problem.fit(start: start)
    let digits = problem.digits(of: fit)
    #expect(fit.converged)
    #expect(digits.value >= 8)
    // The residuals of Lanczos1 are 1e-13 of data near 2.5: the rounding of the data decides its standard errors.
    #expect(digits.error >= (problem.name == "Lanczos1" ? 2.5 : 7))
  }

  @Test("All 27 sets were read", .enabled(if: isThere, absent))
  func complete() { #expect(NISTProblem.all?.count == 27) }

  @Test(
    "Lanczos1: half a unit in the last place of the data moves the standard errors",
    .enabled(if: isThere, absent))
  func lanczos() throws {
    let problem = try #require(NISTProblem.all?.first { $0.name == "Lanczos1" })
    let form = try FormulaForm(problem.formula, columns: ["x"])
    func error(_ y: [Double]) throws -> Double? {
      var options = FitOptions(space: .raw)
      options.onlyGivenStart = true
      options.start = Dictionary(uniqueKeysWithValues: zip(problem.names, problem.starts[1]))
      let data = try FitData(columns: problem.columns, response: y)
      return try Fitter(form, options: options).fit(data).parameters["b1"]?.standardError
    }
    let plain = try #require(try error(problem.response))
    let nudged = try #require(try error(problem.response.enumerated().map { $0 % 2 == 0 ? $1.nextUp : $1 }))
    #expect(abs(nudged / plain - 1) > 1e-5)
  }
}
