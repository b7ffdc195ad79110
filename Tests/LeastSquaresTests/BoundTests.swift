import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares

/// A parameter that is held at a bound is not known to lie there: its interval, and those of predictions, say how far the
/// data let it be.
@Suite("Parameters at a bound") struct BoundTests {
  private static let truth = 0.01

  /// y = x + c with 5 % of noise, of which c is less than a fifth.
  private func data(_ seed: UInt64) throws -> FitData {
    var noise = TestNoise(seed)
    let x = doublings(from: 1, to: 64).flatMap { [$0, $0] }
    return try FitData(x: x, y: x.map { ($0 + Self.truth) * exponential(0.05 * noise.normal()) })
  }

  private func fit(_ data: FitData, _ change: (inout FitOptions) -> Void = { _ in }) throws -> Fit {
    var options = FitOptions()
    options.domains = ["a": .positive, "c": .positive]
    options.influence = false
    options.starts = 4
    change(&options)
    return try Fitter(FormulaForm("a*x + c", columns: ["x"]), options: options).fit(data)
  }

  /// Fits whose c ran into 0, of which there are enough.
  private func held(_ change: (inout FitOptions) -> Void = { _ in }) throws -> [Fit] {
    let fits = try (1...60).map { try fit(data(UInt64($0)), change) }
    return fits.filter { $0.parameters["c"]?.interval == "at-bound" }
  }

  @Test(
    "its interval holds the truth as often as it says, and its end is where the objective has risen enough")
  func limits() throws {
    let fits = try held()
    #expect(fits.count > 10)
    var covered = 0
    for fit in fits {
      let c = try #require(fit.parameters["c"])
      let high = try #require(c.high)
      #expect(c.value == 0 && c.low == 0 && high > 0 && c.standardError == nil)
      if high >= Self.truth { covered += 1 }
      // The same model with c fixed there: squares risen by s² t².
      let there = try self.fit(fit.data) { $0.fixed = ["c": high] }
      let rise = (there.rss - fit.rss) / (fit.noiseVariance * fit.quantile * fit.quantile)
      #expect(abs(rise - 1) < 1e-4, "\(rise)")
    }
    #expect(Double(covered) >= 0.85 * Double(fits.count), "\(covered) of \(fits.count)")
  }

  @Test("a prediction where it decides has an interval that holds the truth", arguments: [0, 40])
  func predictions(resamples: Int) throws {
    let fits = try held { $0.resamples = resamples }
    let point = 0.01
    let inside = fits.count { fit in
      let prediction = fit.predict(at: [point])
      guard let low = prediction.curveLow, let high = prediction.curveHigh else { return false }
      return low <= point + Self.truth && point + Self.truth <= high
    }
    #expect(Double(inside) >= 0.85 * Double(fits.count), "\(inside) of \(fits.count)")
    // Where c is nothing beside a·x, its limit is nothing either.
    for fit in fits {
      let far = fit.predict(at: [1e6]), width = try #require(far.curveHigh) / #require(far.curveLow)
      #expect(width < 1.2)
    }
  }

  @Test("an exact law has no room beyond the bound, and says nothing of it")
  func exact() throws {
    let x = doublings(from: 1, to: 64)
    let fit = try fit(FitData(x: x, y: x.map { 3 * $0 }))
    #expect(fit.parameters["c"]?.high.map { $0 < 1e-6 } ?? true)
  }

  @Test("the end is found also where another parameter runs into its own bound on the way")
  func pairs() throws {
    // c and d explain the same: as one rises from 0 the other falls to it.
    var noise = TestNoise(2)
    let n = doublings(from: 1, to: 32).flatMap { [$0, $0] }, p = (0..<n.count).map { Double(1 + $0 % 2) }
    let y = zip(n, p).map { n, p in (n / p + 0.3 * (p - 1)) * exponential(0.05 * noise.normal()) }
    let data = try FitData(columns: [("n", n), ("p", p)], response: y)
    var options = FitOptions()
    options.domains = ["a": .positive, "c": .positive, "d": .positive]
    options.influence = false
    let fit = try Fitter(FormulaForm("a*n/p + c*(p-1) + d", columns: ["n", "p"]), options: options).fit(data)
    let d = try #require(fit.parameters["d"])
    #expect(d.interval == "at-bound" && d.high.map { $0 > 0 } == true, "\(d)")
    let prediction = fit.predict(at: [1e4, 64])
    #expect(prediction.curveLow != nil && prediction.curveHigh.map { $0 > prediction.value } == true)
  }
}
