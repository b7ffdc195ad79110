import Basics
import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares
@testable import ScalingLaws

@Suite("Compute-optimal sizes")
struct ComputeTests {
  private func synthetic(_ noise: Double, seed: UInt64 = 2) throws -> (FitData, [Double]) {
    let theta = [1.7, 400.0, 2000, 0.35, 0.37]
    var generator = TestNoise(seed)
    var (n, d, y) = ([Double](), [Double](), [Double]())
    for c in [1e18, 3e18, 1e19, 3e19, 1e20, 3e20, 1e21] {
      for k in -4...4 {
        let size = (c / 6).squareRoot() * 0.25 * power(2, 0.6 * Double(k))
        n.append(size)
        d.append(c / 6 / size)
        let loss = Chinchilla().value(theta, at: [size, c / 6 / size])
        y.append(loss * exponential(noise * generator.normal()))
      }
    }
    return (try FitData(columns: [("N", n), ("D", d)], response: y), theta)
  }

  @Test("The closed form is the minimum on the budget")
  func closedForm() throws {
    let (data, _) = try synthetic(0.002)
    let fit = try Fitter(Chinchilla()).fit(data)
    let best = try fit.allocation(budget: 1e21)
    #expect(agree(6 * best.parameters.value * best.tokens.value, 1e21, 1e-9))
    for factor in [0.98, 1.02] {
      let n = best.parameters.value * factor
      #expect(fit.value(at: [n, 1e21 / 6 / n]) > best.loss.value)
    }
    let (alpha, beta) = (fit.theta[3], fit.theta[4])
    #expect(agree(best.exponent.value, beta / (alpha + beta), 1e-6))
    // The search finds what the closed form says.
    let formula = try FormulaForm(Chinchilla().formula, columns: ["N", "D"])
    let order = formula.parameters.map { p in Chinchilla().parameters.firstIndex { $0.name == p.name } ?? 0 }
    let searched = ComputeOptimum(form: formula, flopsPerParameterToken: 6)
      .logParameters(order.map { fit.theta[$0] }, budget: 1e21)
    #expect(agree(searched.map(exponential), best.parameters.value, 1e-5))
    let low = try #require(best.parameters.low)
    let high = try #require(best.parameters.high)
    #expect(low < best.parameters.value && best.parameters.value < high)
  }

  @Test("IsoFLOP finds the exponent and the optimum of the law that made the runs")
  func isoFLOP() throws {
    let (data, theta) = try synthetic(0.001)
    let compute = zip(data.columns[0], data.columns[1]).map { 6 * $0 * $1 }
    let method = try IsoFLOP(parameters: data.columns[0], compute: compute, losses: data.response)
    #expect(method.curves.count == 7)
    let a = try #require(method.parametersLaw.parameters["b"])
    let truth = theta[4] / (theta[3] + theta[4])
    // A parabola in ln N is not the law's own shape: its minimum is off by a little.
    #expect(abs((a.value ?? 0) - truth) < 0.02)
    let b = try #require(method.tokensLaw.parameters["b"]?.value)
    #expect(agree((a.value ?? 0) + b, 1, 1e-6))
    #expect((a.low ?? 1) < truth && truth < (a.high ?? 0))
  }

  @Test(
    "Parabolas through an asymmetric law are off by an exact factor, and it is said",
    arguments: [
      (0.46, 0.155, 1.2955), (0.34, 0.28, 0), (0.3, 0.3, 1),
    ])
  func bias(alpha: Double, beta: Double, published: Double) throws {
    // 15 sizes from 1/16 to 16 times the best one at each budget, and no noise to speak of.
    let theta = [1.7, 400.0, 1200, alpha, beta]
    let optimum = ComputeOptimum(form: Chinchilla(), flopsPerParameterToken: 6)
    var noise = TestNoise(5)
    var (n, d, y) = ([Double](), [Double](), [Double]())
    for budget in [1e18, 1e19, 1e20, 1e21, 1e22] {
      let best = try #require(optimum.logParameters(theta, budget: budget))
      for k in 0..<15 {
        let size = exponential(best + logarithm(16.0) * (Double(k) / 7 - 1))
        n.append(size)
        d.append(budget / 6 / size)
        y.append(
          Chinchilla().value(theta, at: [size, budget / 6 / size]) * exponential(1e-7 * noise.normal()))
      }
    }
    let fit = try Fitter(Chinchilla()).fit(FitData(columns: [("N", n), ("D", d)], response: y))
    let method = try IsoFLOP(fit)
    let factor = try #require(method.bias?.factor(at: 1e20))
    // By hand: the least-squares parabola through e^(−αx)/α + e^(βx)/β on the same 15 places.
    let places = (0..<15).map { logarithm(16.0) * (Double($0) / 7 - 1) }
    let losses = places.map { exponential(-alpha * $0) / alpha + exponential(beta * $0) / beta }
    let moments = (0...4).map { k in places.map { realPower($0, Double(k)) }.sum() }
    let slope = zip(places, losses).map { $0 * $1 }.sum() / moments[2]
    let mean = losses.sum() / 15, square = zip(places, losses).map { $0 * $0 * $1 }.sum()
    let bend = (square - moments[2] * mean) / (moments[4] - moments[2] * moments[2] / 15)
    #expect(agree(factor, exponential(-slope / (2 * bend)), 1e-4))
    if published > 0 { #expect(abs(factor - published) < 1e-4) }
    #expect(abs(method.bias?.exponent ?? 1) < 1e-4)
    // What the method finds on the rows is off by just that.
    let truth = exponential(try #require(optimum.logParameters(theta, budget: 1e20)))
    #expect(agree(method.parametersLaw.value(at: [1e20]) / truth, factor, 1e-3))
  }

  @Test("A budget beyond the data is said to be so, though its sizes are not")
  func budgetBeyond() throws {
    let fit = try Fitter(Chinchilla()).fit(synthetic(0.002).0)
    #expect(agree(try fit.allocation(budget: 1e23).extrapolation, 100, 1e-6))
    #expect(try fit.allocation(budget: 1e20).extrapolation == 1)
    #expect(agree(try fit.allocation(budget: 1e17).extrapolation, 10, 1e-6))
  }

  @Test("Too few budgets, and a law that only falls, are refused in one line")
  func refusals() throws {
    #expect(throws: FitError.self) {
      try IsoFLOP(parameters: [1, 2, 3, 4, 5], compute: [6, 6, 6, 6, 6], losses: [3, 2, 1.5, 2, 3])
    }
    let x = doublings(to: 4096)
    let fit = try Fitter(PowerLaw()).fit(FitData(x: x, y: x))
    #expect(throws: FitError.self) { try fit.allocation(budget: 1e20) }
  }

  @Test(
    "Both methods on the replication's runs", .enabled(if: ChinchillaData.all != nil, ChinchillaData.absent))
  func replication() throws {
    let data = try #require(ChinchillaData.all)
    let compute = zip(data.columns[0], data.columns[1]).map { 6 * $0 * $1 }
    let fit = try Fitter(Chinchilla(), options: ChinchillaData.options(.huber(delta: 1e-3))).fit(data)
    let allocation = try fit.allocation(budget: 5.76e23)
    // Chinchilla's own budget: 70 B parameters and 1.4 T tokens by Hoffmann; the replication says about 20 tokens
    // for a parameter too.
    #expect(allocation.parameters.value > 4e10 && allocation.parameters.value < 1e11)
    #expect(abs(allocation.exponent.value - 0.513) < 0.0015)
    let method = try IsoFLOP(parameters: data.columns[0], compute: compute, losses: data.response)
    let a = try #require(method.parametersLaw.parameters["b"]?.value)
    #expect(a > 0.4 && a < 0.6)
  }
}
