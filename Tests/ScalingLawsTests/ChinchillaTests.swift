import LabTestSupport
import Testing

@testable import LeastSquares
@testable import ScalingLaws

@Suite("The replication of Chinchilla")
struct ChinchillaTests {
  static let isThere = ChinchillaData.all != nil

  struct Row: Sendable, CustomTestStringConvertible {
    let title: String
    let loss: Loss
    let drop: Int
    /// A, B, E, α, β and the objective, each with the half unit of its last printed digit.
    let expected: [String: (Double, Double)]
    let objective: (Double, Double)
    var testDescription: String { title }
  }

  static let table = [
    Row(
      title: "Huber, 240 rows", loss: .huber(delta: 1e-3), drop: 5,
      expected: [
        "A": (477.8259, 5e-5), "B": (2143.417, 5e-4), "E": (1.817218, 5e-7), "alpha": (0.3473105, 5e-8),
        "beta": (0.3671724, 5e-8),
      ], objective: (0.001018274017801, 5e-16)),
    Row(
      title: "squares, 240 rows", loss: .squares, drop: 5,
      expected: [
        "A": (593.3221, 5e-5), "B": (4875.638, 5e-4), "E": (1.864550, 5e-7), "alpha": (0.3602528, 5e-8),
        "beta": (0.4058834, 5e-8),
      ], objective: (0.01146188699, 5e-12)),
    Row(
      title: "towards absolute, 240 rows", loss: .huber(delta: 1e-8), drop: 5,
      expected: [
        "A": (482.005, 5e-4), "B": (2085.432, 5e-4), "E": (1.81686, 5e-6), "alpha": (0.34781, 5e-6),
        "beta": (0.36585, 5e-6),
      ], objective: (1.12949466, 5e-9)),
    Row(
      title: "Huber, 245 rows", loss: .huber(delta: 1e-3), drop: 0,
      expected: [
        "A": (495.726, 5e-4), "B": (12845.61, 5e-3), "E": (1.891338, 5e-7), "alpha": (0.349313, 5e-7),
        "beta": (0.453049, 5e-7),
      ], objective: (0.00182601052, 5e-12)),
  ]

  @Test(
    "Every row of the table to the digits shown", .enabled(if: isThere, ChinchillaData.absent),
    arguments: table, [false, true])
  func published(row: Row, fromHoffmann: Bool) throws {
    let data = try #require(ChinchillaData.all)
    let options = ChinchillaData.options(row.loss, fromHoffmann: fromHoffmann, drop: row.drop)
    let fit = try Fitter(Chinchilla(), options: options).fit(data)
    #expect(fit.converged)
    #expect(fit.data.count == 245 - row.drop)
    for (name, (value, half)) in row.expected {
      let found = try #require(fit.parameters[name]?.value)
      #expect(abs(found - value) <= half, "\(name) = \(found), expected \(value)")
    }
    let objective =
      switch row.loss {
      case .squares: fit.rss
      case .huber(1e-8): fit.residuals.map { abs($0) }.sum()
      default: fit.objective
      }
    #expect(abs(objective - row.objective.0) <= row.objective.1)
  }

  @Test(
    "Least absolute deviations end below the table's limit of Huber losses",
    .enabled(if: isThere, ChinchillaData.absent),
    arguments: [false, true])
  func absolute(fromHoffmann: Bool) throws {
    let data = try #require(ChinchillaData.all)
    let options = ChinchillaData.options(.absolute, fromHoffmann: fromHoffmann)
    let fit = try Fitter(Chinchilla(), options: options).fit(data)
    #expect(fit.converged)
    #expect(fit.objective <= 1.129494655)
    #expect(agree(fit.objective, 1.12949466, 1e-8))
    for (name, value) in [
      ("A", 482.005), ("B", 2085.432), ("E", 1.81686), ("alpha", 0.34781), ("beta", 0.36585),
    ] {
      #expect(agree(fit.parameters[name]?.value, value, 2e-5))
    }
    // At the optimum five residuals are zero: it is a vertex.
    #expect(fit.residuals.filter { abs($0) < 1e-12 }.count == 5)
  }

  @Test("The least-squares standard errors to the digits shown", .enabled(if: isThere, ChinchillaData.absent))
  func standardErrors() throws {
    let data = try #require(ChinchillaData.all)
    let fit = try Fitter(Chinchilla(), options: ChinchillaData.options(.squares)).fit(data)
    func error(_ name: String, log: Bool) throws -> Double {
      let parameter = try #require(fit.parameters[name])
      return try #require(parameter.standardError) / (log ? #require(parameter.value) : 1)
    }
    #expect(abs(try error("A", log: true) - 0.18122) <= 5e-6)
    #expect(abs(try error("B", log: true) - 0.18488) <= 5e-6)
    #expect(abs(try error("E", log: true) - 0.007611) <= 5e-7)
    #expect(abs(try error("alpha", log: false) - 0.010484) <= 5e-7)
    #expect(abs(try error("beta", log: false) - 0.009068) <= 5e-7)
  }

  @Test("The bootstrap has the published errors and intervals", .enabled(if: isThere, ChinchillaData.absent))
  func bootstrap() throws {
    let data = try #require(ChinchillaData.all)
    var options = ChinchillaData.options(.huber(delta: 1e-3))
    options.interval = .percentile
    options.starts = 1
    #if DEBUG
      // Thirty times slower; 800 resamples have 2.5 % noise of their own, more for B with its long tail.
      let (resamples, room, width) = (800, 0.1, 0.2)
    #else
      let (resamples, room, width) = (4000, 0.002, 0.0025)
    #endif
    options.resamples = resamples
    let fit = try Fitter(Chinchilla(), options: options).fit(data)
    #expect(fit.bootstrap?.failures == 0)
    // Ends are printed to the last place of `unit`.
    let published = [
      ("A", 124.5, 285.0, 744.0, 1.0), ("B", 1293, 1042, 5810, 1), ("E", 0.0257, 1.769, 1.871, 0.001),
      ("alpha", 0.0154, 0.317, 0.373, 0.001), ("beta", 0.0206, 0.331, 0.415, 0.001),
    ]
    for (name, error, low, high, unit) in published {
      let parameter = try #require(fit.parameters[name])
      #expect(agree(parameter.standardError, error, room), "\(parameter)")
      let (foundLow, foundHigh) = (try #require(parameter.low), try #require(parameter.high))
      let margin = max(unit / 2, width * (high - low))
      #expect(abs(foundLow - low) <= margin, "\(parameter)")
      #expect(abs(foundHigh - high) <= margin, "\(parameter)")
    }
    let share = fit.derived { $0[4] / ($0[3] + $0[4]) }
    #expect(abs(share.value - 0.513) < 0.0015)
    #expect(agree(share.standardError, 0.020, max(room, 0.005)))
  }

  @Test(
    "Chinchilla with Huber's loss and resamples: the measurement's interval holds the curve's",
    .enabled(if: ChinchillaData.all != nil, ChinchillaData.absent))
  func predictions() throws {
    var options = ChinchillaData.options(.huber(delta: 1e-3))
    options.resamples = 60
    options.starts = 1
    let fit = try Fitter(Chinchilla(), options: options).fit(try #require(ChinchillaData.all))
    for point in [[7e10, 1.4e12], [1e9, 2e10], [1e13, 1e13]] {
      let p = fit.predict(at: point)
      #expect(try #require(p.low) < #require(p.curveLow))
      #expect(try #require(p.high) > #require(p.curveHigh))
    }
  }
}
