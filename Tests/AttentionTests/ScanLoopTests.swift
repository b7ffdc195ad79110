import CKernels
import Synchronization
import Testing

@testable import Attention

/// Recurrences take numbers below the least normal one as 0 while they work, and nothing else does.
@Suite struct ScanLoopTests {
  /// Half of the least normal number, by arithmetic that no compiler does beforehand.
  private static func half(_ least: borrowing Mutex<Float>) -> Float { least.withLock { $0 } * 0.5 }

  @Test("numbers below the least normal one are 0 in the loop, on every thread, and what they were behind it")
  func flushing() {
    let least = Mutex(Float.leastNormalMagnitude), sum = Mutex(Float(0))
    #expect(Self.half(least) > 0)
    for threads in [1, 3] {
      ScanLoop.forEach(count: 8, threads: threads) { _, _ in
        let found = Self.half(least)
        ScanLoop.forEach(count: 2, threads: 2) { _, _ in sum.withLock { $0 += 1 } }
        // An inner loop leaves it as the outer one has it.
        let again = Self.half(least)
        sum.withLock { $0 += found == again ? 0 : 100 }
        #if arch(x86_64)
          sum.withLock { $0 += found == 0 ? 0 : 100 }
        #endif
      }
      #expect(Self.half(least) > 0)
    }
    #expect(sum.withLock { $0 } == 32)
  }

  @Test("an error leaves no thread that takes them as 0")
  func errors() {
    struct Failure: Error {}
    let least = Mutex(Float.leastNormalMagnitude)
    #expect(throws: Failure.self) {
      try ScanLoop.forEach(count: 2, threads: 1) { _, _ in throw Failure() }
    }
    #expect(Self.half(least) > 0)
  }
}
