import Basics
import LabTestSupport
import Testing

@testable import Formulas
@testable import LeastSquares
@testable import ScalingLaws

@Suite("Guards and warnings")
struct GuardTests {
  private func codes(_ fit: Fit) -> Set<String> { Set(fit.warnings.map(\.code)) }

  private func runs(levelsOfD: Int, noise sigma: Double = 0.002) throws -> FitData {
    var generator = TestNoise(9)
    var (n, d, y) = ([Double](), [Double](), [Double]())
    for i in 0..<10 {
      for j in 0..<6 {
        let size = power(10, 7 + 0.3 * Double(i))
        let tokens = power(10, 9 + 0.4 * Double(j % levelsOfD))
        n.append(size)
        d.append(tokens)
        y.append(
          Chinchilla().value([1.7, 400, 2000, 0.35, 0.37], at: [size, tokens])
            * exponential(sigma * generator.normal()))
      }
    }
    return try FitData(columns: [("N", n), ("D", d)], response: y)
  }

  @Test("n < p + 2 is refused, and p + 2 is taken", arguments: [(6, false), (7, true)])
  func rows(count: Int, isTaken: Bool) throws {
    let all = try runs(levelsOfD: 6)
    let some = all.rows((0..<count).map { $0 * 8 })
    if isTaken {
      _ = try Fitter(Chinchilla()).fit(some)
    } else {
      let error = #expect(throws: FitError.self) { try Fitter(Chinchilla()).fit(some) }
      #expect(
        error?.description == "chinchilla has 5 free parameters and needs at least 7 rows; there are 6")
    }
  }

  @Test("One level of D: said, and what depends on it is null")
  func oneLevel() throws {
    let fit = try Fitter(Chinchilla()).fit(runs(levelsOfD: 1))
    #expect(codes(fit).contains("one-level"))
    #expect(codes(fit).contains("not-identified"))
    #expect(fit.parameters["beta"]?.value == nil && fit.parameters["B"]?.value == nil)
    #expect(fit.parameters["alpha"]?.value != nil)
    #expect(abs((fit.parameters["alpha"]?.value ?? 0) - 0.35) < 0.05)
  }

  @Test("A floor that is not below the data is said")
  func floor() throws {
    let x = doublings(from: 1, to: 4096)
    // The smallest value lies below where all others say the floor is.
    let y = x.enumerated().map { k, v in 2 + 3 / v - (k == 9 ? 0.2 : 0) }
    var options = FitOptions(loss: .huber(delta: 1e-3))
    options.influence = false
    let fit = try Fitter(PowerLawOffset(decays: true), options: options).fit(FitData(x: x, y: y))
    #expect(codes(fit).contains("floor-above-data"))
    let clean = try Fitter(PowerLawOffset(decays: true), options: options).fit(
      FitData(x: x, y: x.map { 2 + 3 / $0 }))
    #expect(!codes(clean).contains("floor-above-data"))
  }

  @Test("A few rows that decide the answer are named")
  func influence() throws {
    let good = try runs(levelsOfD: 6)
    #expect(!codes(try Fitter(Chinchilla()).fit(good)).contains("few-rows-decide"))
    var y = good.response
    y[59] *= 1.2
    let bad = FitData(good, response: y)
    let fit = try Fitter(Chinchilla()).fit(bad)
    #expect(codes(fit).contains("few-rows-decide"))
    let few = try #require(fit.influence?.few.first)
    #expect(few.rows == [60])
    #expect(abs(few.standardErrors) > 2)
  }

  @Test("With few rows, only what contradicts or carries the others is said to decide")
  func fewRows() throws {
    // Eight rows of a clean law: leaving one out moves much, and says nothing.
    var said = 0
    for seed in 1...40 {
      var noise = TestNoise(UInt64(seed))
      let x = doublings(from: 64, to: 8192)
      let y = x.map { (1e-6 * $0 * $0 + 1e-3) * exponential(0.02 * noise.normal()) }
      if codes(try Fitter(PowerLawOffset()).fit(FitData(x: x, y: y))).contains("few-rows-decide") {
        said += 1
      }
    }
    #expect(said <= 3)
    // Twenty rows at nearly one size and one far away: it alone gives the exponent.
    var noise = TestNoise(1)
    let x = (0..<20).map { 1 + 0.02 * Double($0) } + [100]
    let far = try Fitter(PowerLaw()).fit(
      FitData(x: x, y: x.map { 3 * $0.squareRoot() * exponential(0.05 * noise.normal()) }))
    #expect(codes(far).contains("few-rows-decide"))
    #expect(far.influence?.few.first?.rows == [21])
  }

  @Test("A row far from the law is named, and rows of normal noise are not")
  func outlying() throws {
    var noise = TestNoise(6)
    let x = doublings(from: 16, to: 65536).flatMap { [$0, $0, $0] }
    var y = x.map { 3 * $0.squareRoot() * exponential(0.02 * noise.normal()) }
    #expect(!codes(try Fitter(PowerLaw()).fit(FitData(x: x, y: y))).contains("outlying-rows"))
    y[17] *= 1.3
    let fit = try Fitter(PowerLaw()).fit(FitData(x: x, y: y))
    #expect(fit.influence?.outlying == [18])
    #expect(codes(fit).contains("outlying-rows"))
    var robust = FitOptions(loss: .huber(delta: 1e-3))
    robust.interval = .sandwich
    #expect(
      !codes(try Fitter(PowerLaw(), options: robust).fit(FitData(x: x, y: y))).contains("outlying-rows"))
  }

  @Test("An exact law has intervals without width, not open ones; an upper bound is an upper end")
  func ends() throws {
    let x = doublings(to: 4096)
    let flat = try Fitter(PowerLaw()).fit(FitData(x: x, y: x.map { _ in 2 }))
    #expect(!codes(flat).contains("open-interval"))
    #expect(agree(flat.parameters["a"]?.low, 2, 1e-9) && agree(flat.parameters["a"]?.high, 2, 1e-9))
    var options = FitOptions()
    options.domains = ["b": .within(0, 1.2)]
    let held = try Fitter(PowerLaw(), options: options).fit(FitData(x: x, y: x.map { $0 * $0 }))
    let b = try #require(held.parameters["b"])
    #expect(b.interval == "at-bound" && b.high == 1.2)
    // No law of this kind is near x², so its noise leaves b some room below.
    #expect(b.low.map { $0 < 1.2 && $0 > 0 } ?? true)
  }

  @Test("Starts that end in different minima are counted and said")
  func disagreement() throws {
    // A sine has a minimum for every period that fits.
    var noise = TestNoise(3)
    let x = (0..<40).map { Double($0) * 0.25 }
    let y = x.map { FormulaExpression.Function.sin.apply(2.1 * $0) + 0.3 * noise.normal() }
    let fit = try Fitter(FormulaForm("a*sin(b*x)", columns: ["x"]), options: FitOptions(space: .raw)).fit(
      FitData(x: x, y: y))
    #expect(fit.distinctMinima > 1)
    #expect(codes(fit).contains("starts-disagree"))
    #expect(fit.startsAtBest < fit.starts)
    #expect(abs(abs(fit.theta[1]) - 2.1) < 0.05)
  }

  @Test("The ratio of an extrapolation is that of the farthest variable")
  func extrapolation() throws {
    let data = try runs(levelsOfD: 6)
    let fit = try Fitter(Chinchilla()).fit(data)
    let most = try #require(data.columns[0].max())
    #expect(agree(fit.extrapolation(to: [most * 5, 1e10]), 5, 1e-12))
    #expect(fit.extrapolation(to: [1e8, 1e10]) == 1)
  }

  @Test("Dropped rows are named by the user's numbers")
  func dropped() throws {
    let data = try runs(levelsOfD: 6)
    var options = FitOptions()
    options.dropLargest = 2
    let fit = try Fitter(Chinchilla(), options: options).fit(data)
    let order = data.response.indices.sorted { data.response[$0] > data.response[$1] }
    #expect(Set(fit.droppedRows) == Set(order.prefix(2).map { $0 + 1 }))
    #expect(fit.data.count == data.count - 2)
  }

  static let losses: [Loss] = [.squares, .huber(delta: 1e-3), .absolute]

  @Test("Units change nothing: exponents, errors and predictions are the same", arguments: losses)
  func units(loss: Loss) throws {
    let data = try runs(levelsOfD: 6)
    var options = FitOptions(loss: loss)
    options.influence = false
    options.interval = loss == .squares ? .wald : .sandwich
    let one = try Fitter(Chinchilla(), options: options).fit(data)
    let scaled = try FitData(
      columns: [("N", data.columns[0].map { $0 * 1e-9 }), ("D", data.columns[1].map { $0 * 1e-12 })],
      response: data.response.map { $0 * 1.4427 })
    let two = try Fitter(Chinchilla(), options: options).fit(scaled)
    for name in ["alpha", "beta"] {
      #expect(agree(one.parameters[name]?.value, two.parameters[name]?.value ?? 0, 1e-7))
      #expect(agree(one.parameters[name]?.standardError, two.parameters[name]?.standardError ?? 0, 1e-4))
    }
    #expect(agree(one.parameters["E"].flatMap(\.value).map { $0 * 1.4427 }, two.theta[0], 1e-7))
    #expect(agree(one.objective, two.objective, 1e-8))
  }

  @Test("Sum or mean: a constant factor on all weights changes no estimate and no error", arguments: losses)
  func mean(loss: Loss) throws {
    let data = try runs(levelsOfD: 6)
    var options = FitOptions(loss: loss)
    options.influence = false
    options.interval = loss == .squares ? .wald : .sandwich
    let sum = try Fitter(Chinchilla(), options: options).fit(data)
    let weighted = try FitData(
      columns: Array(zip(data.names, data.columns)), response: data.response,
      weights: data.response.map { _ in 1 / 60.0 })
    let mean = try Fitter(Chinchilla(), options: options).fit(weighted)
    for (a, b) in zip(sum.parameters, mean.parameters) {
      #expect(agree(a.value, b.value ?? 0, 1e-7))
      #expect(agree(a.standardError, b.standardError ?? 0, 1e-5))
      #expect(agree(a.low, b.low ?? 0, 1e-5))
    }
    #expect(agree(sum.objective, 60 * mean.objective, 1e-9))
  }

  @Test("Resampling is the same on any number of threads, and clusters are drawn whole")
  func resampling() throws {
    let data = try runs(levelsOfD: 6)
    var options = FitOptions()
    options.influence = false
    options.resamples = 40
    options.threads = 1
    let one = try Fitter(Chinchilla(), options: options).fit(data)
    options.threads = 4
    let four = try Fitter(Chinchilla(), options: options).fit(data)
    #expect(one.bootstrap?.replicates == four.bootstrap?.replicates)
    #expect(one.parameters["alpha"]?.interval == "percentile")

    // Rows copied eight times each: only the clustered errors know that nothing was learnt.
    let x = (0..<12).map { power(2, Double($0)) }
    var noise = TestNoise(1)
    let y = x.map { 3 * power($0, 0.5) * exponential(0.1 * noise.normal()) }
    let eight = try FitData(
      columns: [("x", x.flatMap { [Double](repeating: $0, count: 8) })],
      response: y.flatMap { [Double](repeating: $0, count: 8) },
      clusters: x.flatMap { [String](repeating: "\($0)", count: 8) })
    var plain = FitOptions()
    plain.influence = false
    plain.interval = .wald
    let single = try Fitter(PowerLaw(), options: plain).fit(FitData(x: x, y: y))
    let error = try #require(single.parameters["b"]?.standardError)
    let naive = try Fitter(PowerLaw(), options: plain).fit(eight)
    #expect(try #require(naive.parameters["b"]?.standardError) < 0.45 * error)
    for method in [IntervalMethod.sandwich, .bca] {
      plain.interval = method
      plain.resamples = method == .bca ? 300 : 0
      let fit = try Fitter(PowerLaw(), options: plain).fit(eight)
      #expect(fit.parameters["b"]?.interval == method.rawValue)
      let found = try #require(fit.parameters["b"]?.standardError)
      #expect(found > 0.6 * error && found < 1.6 * error, "\(method): \(found), \(error)")
    }
  }

  @Test("A held parameter is held, and costs no degree of freedom")
  func held() throws {
    let x = doublings(to: 8192)
    var options = FitOptions()
    options.fixed = ["b": 2]
    let fit = try Fitter(PowerLaw(), options: options).fit(FitData(x: x, y: x.map { 3 * $0 * $0 }))
    #expect(fit.parameters["b"]?.interval == "fixed" && fit.parameters["b"]?.value == 2)
    #expect(agree(fit.parameters["a"]?.value, 3, 1e-9))
    #expect(fit.degreesOfFreedom == x.count - 1)
  }
}
