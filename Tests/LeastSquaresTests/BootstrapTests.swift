import Basics
import LabTestSupport
import Testing

@testable import LeastSquares
@testable import ScalingLaws

@Suite("Bootstrap")
struct BootstrapTests {
  @Test("The draws are NumPy's")
  func numpy() {
    // numpy.random.seed(42); numpy.random.choice(240, 12), and after it choice(7, 6).
    var generator = MersenneTwister(seed: 42)
    let first = (0..<12).map { _ in generator.index(below: 240) }
    #expect(first == [102, 179, 92, 14, 106, 71, 188, 20, 102, 121, 210, 214])
    #expect((0..<6).map { _ in generator.index(below: 7) } == [2, 2, 4, 3, 2, 5])
    var raw = MersenneTwister(seed: 5489)
    // The first and the ten-thousandth number that the C++ standard gives for its default seed.
    #expect(raw.next() == 3_499_211_612)
    for _ in 0..<9998 { _ = raw.next() }
    #expect(raw.next() == 4_123_659_995)
  }

  @Test("The same seed gives the same replicates on one thread and on two")
  func threads() throws {
    var noise = TestNoise(4)
    let x = doublings(to: 65536)
    let data = try FitData(x: x, y: x.map { 3 * $0 * exponential(0.05 * noise.normal()) })
    var options = FitOptions()
    options.resamples = 200
    options.influence = false
    let runs = try [1, 2].map { threads in
      options.threads = threads
      return try Fitter(PowerLaw(), options: options).fit(data)
    }
    #expect(runs[0].bootstrap?.replicates == runs[1].bootstrap?.replicates)
    #expect(runs[0].bootstrap?.replicates.count == 200)
  }
}
