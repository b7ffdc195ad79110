import Basics
import Foundation

/// Times a pass: warm-up first, then repeats, each long enough for the clock.
struct Stopwatch {
  /// Passes that are not timed.
  let warmup: Int
  /// The most samples.
  let repeats: Int
  /// Once this many seconds and three samples are timed, no more samples.
  let budgetSeconds: Double
  /// Makes of this process's time of a pass the one that counts; ranks agree on the longest.
  var agree: (Double) throws -> Double = { $0 }
  /// Which samples count; `nil`: all.
  var quiet: QuietWatch?

  init(warmup: Int, repeats: Int, budgetSeconds: Double) {
    (self.warmup, self.repeats, self.budgetSeconds) = (warmup, repeats, budgetSeconds)
  }

  /// What was timed.
  struct Timing {
    /// Seconds a pass, one number a sample.
    let samples: [Double]
    /// How many of them were quiet; `nil`: nobody looked.
    let quiet: Int?
  }

  /// A sample shorter than this is repeated inside the sample; its time is divided.
  private static let shortestSample = 1e-3
  /// The fewest samples that say something.
  private static let fewest = 3

  /// Runs and times a pass. With a watch disturbed samples are repeated, until it has no more patience; when fewer than three were
  /// quiet then, all samples count.
  /// - Returns: the times, and the last result.
  func time<R>(_ pass: () throws -> R) throws -> (timing: Timing, last: R) {
    let clock = ContinuousClock()
    var last: R?
    func once() throws -> Double {
      // The result before is released first: the ledger's peak is that of one pass.
      last = nil
      let start = clock.now
      last = try pass()
      return try agree((clock.now - start).seconds)
    }
    var single = try once()
    for _ in 0..<max(0, warmup - 1) { single = min(single, try once()) }
    let inner = max(1, min(10_000, Int(Self.shortestSample / max(single, 1e-9))))
    var watch = quiet
    var isQuiet = watch?.isQuiet() ?? true
    var samples: [(seconds: Double, isQuiet: Bool)] = []
    var counted = 0, total = 0.0, lost = 0.0
    while counted < repeats {
      let wasQuiet = isQuiet
      var seconds = 0.0
      for _ in 0..<inner { seconds += try once() }
      isQuiet = watch?.isQuiet() ?? true
      samples.append((seconds / Double(inner), wasQuiet && isQuiet))
      guard wasQuiet && isQuiet else {
        lost += seconds
        if lost > watch?.patience ?? 0, samples.count >= Self.fewest { break }
        continue
      }
      counted += 1
      total += seconds
      if total > budgetSeconds, counted >= Self.fewest || total > 3 * budgetSeconds { break }
    }
    guard let last else { throw UsageError("repeats: at least one pass is timed") }
    let those = counted < min(Self.fewest, repeats) ? samples : samples.filter(\.isQuiet)
    return (Timing(samples: those.map(\.seconds), quiet: watch.map { _ in counted }), last)
  }
}
