import Basics
import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares

@Suite("Formulas without starts")
struct FormulaStartTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let formula: String
    /// In order of appearance.
    let theta: [Double]
    let range: ClosedRange<Double>
    let noise: Double
    var testDescription: String { formula }
  }

  static let cases = [
    Case(formula: "a*exp(-((x-m)/s)^2) + c", theta: [5, 8.4, 0.5, 0.7], range: 0...10, noise: 0.1),
    Case(formula: "a*exp(-(x-m)^2/(2*s^2))", theta: [5, 2.2e6, 0.4e6], range: 0...1e7, noise: 0.1),
    Case(
      formula: "a*exp(-((x-m)/s)^2) + b*exp(-((x-k)/t)^2)", theta: [4, 2.1, 0.6, 6, 7.7, 0.9], range: 0...10,
      noise: 0.1),
    Case(formula: "a*sin(w*x+p) + c", theta: [2, 7.9, 1.2, 0.3], range: 0...10, noise: 0.2),
    Case(formula: "a*cos(2*pi*x/t) + c", theta: [2, 3.7, 0.3], range: 0...40, noise: 0.2),
    Case(formula: "a/(1+exp(-(x-m)/s))", theta: [50, 730, 35], range: 0...1000, noise: 0.5),
    Case(formula: "a*exp(-b*x) + c*exp(-d*x)", theta: [3, 2e-4, 2, 6e-3], range: 0...5000, noise: 0.02),
    Case(formula: "v*x/(k+x)", theta: [4, 3e-5], range: 1e-6...6e-4, noise: 0.03),
    Case(formula: "a*(1-exp(-(x/s)^k))", theta: [3, 300, 1.7], range: 1...1000, noise: 0.02),
    Case(formula: "a*b^x + c", theta: [3, 0.97, 1], range: 0...200, noise: 0.03),
  ]

  @Test("The default starts find what a start at the truth finds", arguments: cases, [1, 2, 3])
  func places(of example: Case, seed: Int) throws {
    var noise = TestNoise(UInt64(seed))
    let form = try FormulaForm(example.formula, columns: ["x"])
    let (low, high) = (example.range.lowerBound, example.range.upperBound)
    let x = (0..<50).map { _ in low + (high - low) * noise.uniform() }
    let y = x.map { form.value(example.theta, at: [$0]) + example.noise * noise.normal() }
    let data = try FitData(x: x, y: y)
    var options = FitOptions(space: .raw)
    options.interval = .wald
    options.influence = false
    let found = try Fitter(form, options: options).fit(data)
    options.start = Dictionary(uniqueKeysWithValues: zip(form.parameters.map(\.name), example.theta))
    options.onlyGivenStart = true
    let near = try Fitter(form, options: options).fit(data)
    #expect(found.converged)
    #expect(found.objective <= near.objective * (1 + 1e-7), "\(found), from the truth \(near)")
  }

  @Test("Of two solutions that differ in signs alone the positive one is given")
  func sign() throws {
    let x = (0..<40).map { 0.25 * Double($0) }
    var noise = TestNoise(2)
    let y = x.map { exponential(-0.5 * ($0 - 4) * ($0 - 4) / 1.44) + 0.02 * noise.normal() }
    let form = try FormulaForm("(a/s)*exp(-0.5*((x-m)/s)^2)", columns: ["x"])
    let fit = try Fitter(form, options: FitOptions(space: .raw)).fit(FitData(x: x, y: y))
    #expect(agree(fit.parameters["s"]?.value, 1.2, 0.1))
    #expect((fit.parameters["a"]?.value ?? 0) > 0)
  }
}
