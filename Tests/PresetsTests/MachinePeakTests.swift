import Processor
import Tensors
import Testing

@testable import Presets

/// What a session measures of the machine before its rows.
@Suite struct MachinePeakTests {
  @Test(
    "precisions on as many threads share one measurement of the bandwidth; a set that is not here has no peak"
  )
  func shared() throws {
    let set = InstructionSet.default
    let needs = Precision.allCases.map { PeakNeed(threads: 1, instructionSet: set.rawValue, precision: $0) }
    let elsewhere = PeakNeed(threads: 1, instructionSet: "neon512", precision: .float32)
    let peaks = MachinePeak.measure(needs + [elsewhere])
    #expect(peaks.map(\.need) == (set.hasBFloat16Products ? needs : [needs[0]]))
    #expect(peaks.allSatisfy { $0.gflops > 0 })
    // Two measurements never agree to the last bit.
    let bandwidth = try #require(peaks[0].bandwidth)
    #expect(bandwidth > 0 && peaks.allSatisfy { $0.bandwidth == bandwidth })
  }
}
