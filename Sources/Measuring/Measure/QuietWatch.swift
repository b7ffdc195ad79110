import Basics
import Processor

/// Tells passes beside which the machine was this program's own from those that others disturbed.
///
/// Programs of others, on this machine or on its host, take time, cache and clock for seconds at a time; no pass shows which of its
/// time is theirs. Multiply-adds on registers do: short windows of them stand before and after every pass, on as many threads, and the
/// pass counts where both have a share of the peak. What happens within a pass and ends before it does is not seen.
struct QuietWatch {
  /// The share of the peak that the windows must have.
  let share: Double
  /// The most time on passes that do not count, in seconds.
  let patience: Double
  /// Operations a second of multiply-adds in one window.
  let rate: () -> Double
  /// The highest rate so far.
  private(set) var peak: Double

  /// Length of a window in seconds.
  static let window = 3e-3

  /// Creates a watch.
  /// - Parameters:
  ///   - share: of the peak.
  ///   - patience: seconds.
  ///   - peak: operations a second that were measured before; a window above it takes its place.
  ///   - rate: operations a second in one window.
  init(share: Double, patience: Double, peak: Double, rate: @escaping () -> Double) {
    (self.share, self.patience, self.peak, self.rate) = (share, patience, peak, rate)
  }

  /// Looks once.
  /// - Returns: whether multiply-adds have their share of the peak.
  mutating func isQuiet() -> Bool {
    let now = rate()
    peak = max(peak, now)
    return now >= share * peak
  }
}

extension QuietWatch {
  /// A watch over multiply-adds in float32.
  /// - Parameters:
  ///   - share: of the peak.
  ///   - patience: seconds.
  ///   - set: whose multiply-adds.
  ///   - threads: how many work at once.
  ///   - peakGflops: what was measured before; `nil`: the best of a first twenty windows.
  init(
    share: Double, patience: Double, _ set: InstructionSet, threads: Int, peakGflops: Double?
  ) {
    func rates(_ windows: Int) -> [Double] {
      SustainedRate.measure(set, threads: threads, windows: windows, seconds: Self.window).rates
    }
    self.init(
      share: share, patience: patience, peak: peakGflops.map { $0 * 1e9 } ?? rates(20).max() ?? 0
    ) { rates(1)[0] }
  }
}
