import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares
@testable import ScalingLaws

/// Intervals of one point do not contradict each other.
@Suite("Intervals of predictions")
struct IntervalTests {
  static let losses: [Loss] = [.squares, .huber(delta: 1e-3), .huber(delta: 0.1), .absolute]
  static let methods: [IntervalMethod?] = IntervalMethod.allCases + [nil]

  /// A decaying law with a floor and outliers to one side, which skew what resampling finds.
  private func rows(_ seed: UInt64) throws -> FitData {
    var noise = TestNoise(seed)
    let x = (0..<24).map { power(2, 0.5 * Double($0)) }
    let y = x.enumerated().map { k, v in
      (2 + 3 * power(v, -0.4)) * exponential(0.02 * noise.normal() + (k % 7 == 3 ? 0.15 : 0))
    }
    return try FitData(x: x, y: y)
  }

  @Test(
    "A new measurement's interval holds the curve's, with every loss and kind of interval", arguments: losses,
    methods)
  func containment(loss: Loss, method: IntervalMethod?) throws {
    for space in FitSpace.allCases {
      var options = FitOptions(space: space, loss: loss)
      options.interval = method
      options.influence = false
      options.starts = 3
      options.resamples = method == .percentile || method == .bca ? 40 : 0
      let fit = try Fitter(PowerLawOffset(decays: true), options: options).fit(rows(space == .log ? 3 : 4))
      for x in [0.25, 1, 30, 3000, 1e7] {
        let p = fit.predict(at: [x])
        if let low = p.low, let curve = p.curveLow { #expect(low <= curve, "\(loss) \(space) at \(x)") }
        if let high = p.high, let curve = p.curveHigh { #expect(high >= curve, "\(loss) \(space) at \(x)") }
        guard fit.noiseVariance > 0, let low = p.low, let high = p.high, let from = p.curveLow,
          let to = p.curveHigh
        else { continue }
        #expect(high - low > to - from, "noise widens: \(loss) \(space) at \(x)")
      }
    }
  }

  @Test("A symmetric curve has the interval f ± t √(gᵀVg + σ²), as ever")
  func symmetric() throws {
    var options = FitOptions(space: .raw)
    options.interval = .wald
    options.influence = false
    let fit = try Fitter(LinearCombination.linear, options: options).fit(rows(5))
    let p = fit.predict(at: [100])
    let t = fit.quantile
    let curve = ((p.curveHigh ?? 0) - p.value) / t
    let both = (curve * curve + fit.noiseVariance).squareRoot() * t
    #expect(agree(p.high.map { $0 - p.value }, both, 1e-9))
    #expect(agree(p.low.map { p.value - $0 }, both, 1e-9))
  }

  @Test("A point that the law does not take is refused by name")
  func outside() throws {
    let fit = try Fitter(PowerLaw()).fit(FitData(x: [1, 2, 3, 4, 5], y: [1, 2.1, 2.9, 4.2, 5], name: "n"))
    let error = #expect(throws: FitError.self) { try fit.predict(["n": -5]) }
    #expect(
      error?.description == "column 'n', prediction 1: -5.0 is not positive, and a * x^b takes powers of it")
  }

  @Test("The row on which a formula has no value is named")
  func rowWithoutValue() throws {
    let data = try FitData(
      columns: [("x", [1, 2, -3, 4, 5])], response: [1, 2, 3, 4, 5], rowNumbers: [2, 3, 4, 5, 6],
      rowWord: "line")
    let form = try FormulaForm("a*x^0.5", columns: ["x"])
    for space in FitSpace.allCases {
      let error = #expect(throws: FitError.self) {
        try Fitter(form, options: FitOptions(space: space)).fit(data)
      }
      #expect(error?.description.hasPrefix("line 4: a*x^0.5 has no") == true, "\(error?.description ?? "")")
    }
  }
}
