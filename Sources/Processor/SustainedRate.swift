import Basics
import CKernels

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

  /// Measures on one thread.
  /// - Parameters:
  ///   - set: whose multiply-adds.
  ///   - windows: how many windows.
  ///   - seconds: the length of each.
  /// - Complexity: `windows · seconds`.
  public static func measure(
    _ set: InstructionSet = .default, windows: Int = 30, seconds: Double = 0.05
  ) -> SustainedRate {
    let clock = ContinuousClock()
    let rates = (0..<windows).map { _ in
      let start = clock.now
      var operations = 0.0, spent = 0.0
      repeat {
        operations += attn_fma_loop(set.code, 20_000)
        spent = (clock.now - start).seconds
      } while spent < seconds
      return operations / spent
    }
    return SustainedRate(rates: rates)
  }
}
