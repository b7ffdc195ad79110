import Basics
import CKernels
import Synchronization

/// What multiply-adds alone reach over windows as long as a pass.
///
/// The peak is the best of windows of some milliseconds, since what is measured beside it is a limit. On a machine that other programs
/// share, or whose clock falls under load, a pass of tens of milliseconds cannot come to it, whatever it does: this says how much of the
/// distance is the machine's.
public struct SustainedRate: Hashable, Sendable {
  /// Operations a second of each window.
  public let rates: [Double]

  /// The middle one.
  public var median: Double { rates.isEmpty ? 0 : Quantiles.median(rates) }

  /// Measures.
  /// - Parameters:
  ///   - set: whose multiply-adds.
  ///   - threads: how many work at once; the rate is that of all together.
  ///   - windows: how many windows.
  ///   - seconds: the length of each.
  /// - Complexity: `windows · seconds`.
  public static func measure(
    _ set: InstructionSet = .default, threads: Int = 1, windows: Int = 30, seconds: Double = 0.05
  ) -> SustainedRate {
    SustainedRate(rates: (0..<windows).map { _ in window(set, threads: threads, seconds: seconds) })
  }

  /// The rate of one window.
  private static func window(_ set: InstructionSet, threads: Int, seconds: Double) -> Double {
    let clock = ContinuousClock(), start = clock.now
    let total = Mutex(0.0)
    Parallel.forEach(count: threads, threads: threads) { _, _ in
      var operations = 0.0
      repeat { operations += attn_fma_loop(set.code, 20_000) } while (clock.now - start).seconds < seconds
      let done = operations
      total.withLock { $0 += done }
    }
    return total.withLock(\.self) / (clock.now - start).seconds
  }
}
