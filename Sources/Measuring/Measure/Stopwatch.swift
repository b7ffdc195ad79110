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

  init(warmup: Int, repeats: Int, budgetSeconds: Double) {
    (self.warmup, self.repeats, self.budgetSeconds) = (warmup, repeats, budgetSeconds)
  }

  /// A sample shorter than this is repeated inside the sample; its time is divided.
  private static let shortestSample = 1e-3

  /// Runs and times a pass.
  /// - Returns: seconds a pass, one number a sample, and the last result.
  func time<R>(_ pass: () throws -> R) throws -> (samples: [Double], last: R) {
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
    var samples: [Double] = []
    var total = 0.0
    while samples.count < repeats {
      var seconds = 0.0
      for _ in 0..<inner { seconds += try once() }
      samples.append(seconds / Double(inner))
      total += seconds
      if total > budgetSeconds, samples.count >= 3 || total > 3 * budgetSeconds { break }
    }
    guard let last else { throw UsageError("repeats: at least one pass is timed") }
    return (samples, last)
  }
}
