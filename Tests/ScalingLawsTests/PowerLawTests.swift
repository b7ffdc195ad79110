import Basics
import LabTestSupport
import Testing

@testable import LeastSquares
@testable import ScalingLaws

@Suite("Power laws, crossover, prediction")
struct PowerLawTests {
  @Test("Exact data give back the exact parameters", arguments: [0.5, 1, 1.37, 2, -0.34])
  func exact(b: Double) throws {
    let x = doublings(to: 65536)
    let power = try Fitter(PowerLaw()).fit(FitData(x: x, y: x.map { 3e-7 * power_($0, b) }))
    #expect(agree(power.parameters["b"]?.value, b, 1e-9))
    #expect(agree(power.parameters["a"]?.value, 3e-7, 1e-8))
    #expect(power.converged)
    let offset = try Fitter(PowerLawOffset()).fit(FitData(x: x, y: x.map { 3e-7 * power_($0, b) + 2e-6 }))
    #expect(agree(offset.parameters["b"]?.value, b, 1e-6))
    #expect(agree(offset.parameters["c"]?.value, 2e-6, 1e-5))
  }

  private func power_(_ x: Double, _ b: Double) -> Double { power(x, b) }

  @Test("A straight line in log-log has the textbook's standard error")
  func textbook() throws {
    var noise = TestNoise(7)
    let x = doublings(to: 8192)
    let y = x.map { 2 * $0 * exponential(0.05 * noise.normal()) }
    let fit = try Fitter(PowerLaw()).fit(FitData(x: x, y: y))
    let lx = x.map(logarithm)
    let ly = y.map(logarithm)
    let n = Double(x.count)
    let (mx, my) = (lx.sum() / n, ly.sum() / n)
    let sxx = lx.map { ($0 - mx) * ($0 - mx) }.sum()
    let slope = zip(lx, ly).map { ($0 - mx) * ($1 - my) }.sum() / sxx
    let rss = zip(lx, ly).map { l, v in (v - my - slope * (l - mx)) * (v - my - slope * (l - mx)) }.sum()
    let error = (rss / (n - 2) / sxx).squareRoot()
    let b = try #require(fit.parameters["b"])
    #expect(agree(b.value, slope, 1e-10))
    #expect(agree(b.standardError, error, 1e-8))
    let t = Distributions.tQuantile(0.95, freedom: n - 2)
    #expect(agree(b.low, slope - t * error, 1e-6))
    #expect(agree(b.high, slope + t * error, 1e-6))
    #expect(agree(fit.rss, rss, 1e-9))
  }

  @Test("The crossover of n² and 100 n is 100, with an interval that widens with the noise")
  func crossing() throws {
    var widths: [Double] = []
    for sigma in [0.01, 0.05] {
      var noise = TestNoise(3)
      let x = doublings(from: 16, to: 2048)
      let square = x.map { 1e-6 * $0 * $0 * exponential(sigma * noise.normal()) }
      let line = x.map { 1e-4 * $0 * exponential(sigma * noise.normal()) }
      let first = try Fitter(PowerLaw()).fit(FitData(x: x, y: square))
      let second = try Fitter(PowerLaw()).fit(FitData(x: x, y: line))
      let meeting = try #require(crossover(of: first, and: second))
      let low = try #require(meeting.low)
      let high = try #require(meeting.high)
      #expect(low < 100 && 100 < high)
      #expect(!meeting.firstIsLowerAbove)
      #expect(meeting.extrapolation == 1)
      widths.append(logarithm(high / low))
    }
    #expect(widths[1] > 3 * widths[0])
  }

  @Test("Curves that run side by side do not meet, and barely different slopes have an open interval")
  func noCrossing() throws {
    var noise = TestNoise(5)
    let x = doublings(from: 16, to: 2048)
    let lower = try Fitter(PowerLaw()).fit(
      FitData(x: x, y: x.map { $0 * exponential(0.02 * noise.normal()) }))
    let upper = try Fitter(PowerLaw()).fit(
      FitData(x: x, y: x.map { 1000 * $0 * exponential(0.02 * noise.normal()) }))
    #expect(crossover(of: lower, and: upper) == nil)
    let near = try Fitter(PowerLaw()).fit(
      FitData(x: x, y: x.map { 1.002 * $0 * exponential(0.02 * noise.normal()) }))
    if let meeting = crossover(of: lower, and: near) { #expect(meeting.low == nil || meeting.high == nil) }
  }

  @Test("Too few rows and negative values are refused in one line")
  func refusals() throws {
    #expect(throws: FitError.self) { try Fitter(PowerLaw()).fit(FitData(x: [1, 2, 3], y: [1, 2, 3])) }
    let error = #expect(throws: FitError.self) {
      try Fitter(PowerLaw()).fit(FitData(x: [1, 2, 3, 4], y: [1, 2, -3, 4]))
    }
    #expect(
      error?.description
        == "response, row 3: -3.0 has no logarithm; fit in raw space or leave the row out")
  }
}
