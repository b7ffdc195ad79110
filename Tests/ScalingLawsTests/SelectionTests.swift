import Basics
import LabTestSupport
import Testing

@testable import LeastSquares
@testable import ScalingLaws

@Suite("Choosing between laws")
struct SelectionTests {
  /// t = 20 + 0.5 n + 1e-4 n² at n = 64 … 4096 with 3 % noise.
  private func measured(seed: UInt64, repeats: Int = 3) throws -> FitData {
    var noise = TestNoise(seed)
    let x = doublings(from: 64, to: 4096).flatMap { [Double](repeating: $0, count: repeats) }
    return try FitData(
      x: x, y: x.map { (20 + 0.5 * $0 + 1e-4 * $0 * $0) * exponential(0.03 * noise.normal()) })
  }

  @Test(
    "A quadratic time is never called n log n, and its prediction at 65536 covers the truth",
    arguments: [1, 3])
  func quadratic(repeats: Int) throws {
    var covered = 0
    let seeds = 40
    let truth = 20 + 0.5 * 65536 + 1e-4 * 65536 * 65536
    var options = FitOptions()
    options.interval = .wald
    options.influence = false
    options.starts = 3
    for seed in 1...UInt64(seeds) {
      let selection = try FormSelector(options: options).select(measured(seed: seed, repeats: repeats))
      switch selection.verdict {
      case .chosen(let name): #expect(name == "quadratic", "seed \(seed): \(name)")
      case .cannotDistinguish(let names): #expect(names.contains("quadratic"), "seed \(seed): \(names)")
      }
      let prediction = selection.predict(at: [65536])
      if let low = prediction.low, let high = prediction.high, low <= truth, truth <= high { covered += 1 }
      #expect(prediction.extrapolation == 16)
    }
    #expect(covered >= seeds * 9 / 10)
  }

  @Test("Laws that are really different are told apart", arguments: ["constant", "linear", "nlogn", "power"])
  func distinct(name: String) throws {
    let form = try FormCatalog.form(named: name)
    let truths: [String: [Double]] = [
      "constant": [3], "linear": [2, 0.5], "nlogn": [2, 0.5], "power": [0.01, 1.7],
    ]
    let theta = truths[name] ?? []
    var noise = TestNoise(4)
    let x = doublings(from: 16, to: 65536).flatMap { [$0, $0, $0, $0] }
    let y = x.map { form.value(theta, at: [$0]) * exponential(0.01 * noise.normal()) }
    var options = FitOptions()
    options.influence = false
    options.interval = .wald
    let selection = try FormSelector(options: options).select(FitData(x: x, y: y))
    switch selection.verdict {
    case .chosen(let chosen): #expect(chosen == name)
    case .cannotDistinguish(let names):
      #expect(names.contains(name) && (names.count <= 3 || name == "constant"))
    }
    #expect(selection.candidates.contains { $0.fit.form.name == name && ($0.leaveOneOutError ?? 1) < 0.012 })
  }

  @Test("The nested F-test is the textbook's")
  func nested() throws {
    let x = [1.0, 2, 3, 4, 5, 6, 7, 8]
    let y = [1.1, 1.9, 3.2, 3.9, 5.3, 5.8, 7.1, 8.2]
    var options = FitOptions(space: .raw)
    options.influence = false
    let selection = try FormSelector(
      [LinearCombination.linear, LinearCombination.quadratic], options: options
    ).select(FitData(x: x, y: y))
    let test = try #require(selection.nestedTests.first)
    let linear = try #require(selection.candidates.first { $0.fit.form.name == "linear" }).fit
    let quadratic = try #require(selection.candidates.first { $0.fit.form.name == "quadratic" }).fit
    let statistic = (linear.rss - quadratic.rss) / (quadratic.rss / 5)
    #expect(agree(test.statistic, statistic, 1e-9))
    // With one extra parameter F is the square of the t-value of that parameter.
    let c = try #require(quadratic.parameters["c"])
    let t = try #require(c.value) / #require(c.standardError)
    #expect(agree(test.statistic, t * t, 1e-6))
    #expect(test.probability > 0 && test.probability < 1)
  }
}
