import Testing

@testable import Measuring

/// What a stopwatch does of passes beside which others were at work.
@Suite struct StopwatchTests {
  /// A stopwatch of five repeats whose windows have the given shares of a peak of 100 in turn, the last one from then on.
  private func stopwatch(_ shares: [Double], patience: Double = 60, repeats: Int = 5) -> Stopwatch {
    var watch = Stopwatch(warmup: 1, repeats: repeats, budgetSeconds: 60)
    var next = 0
    watch.quiet = QuietWatch(share: 0.9, patience: patience, peak: 100) {
      defer { next += 1 }
      return 100 * shares[min(next, shares.count - 1)]
    }
    return watch
  }

  /// How many samples were timed, and how many samples and quiet ones a timing has.
  private func counts(_ stopwatch: Stopwatch) throws -> (passes: Int, samples: Int, quiet: Int?) {
    var passes = 0
    // Longer than the shortest sample, so that a pass is a sample.
    let (timing, _) = try stopwatch.time {
      passes += 1
      let end = ContinuousClock().now + .milliseconds(2)
      while ContinuousClock().now < end {}
    }
    // The first pass warms up.
    return (passes - 1, timing.samples.count, timing.quiet)
  }

  @Test("without a watch every pass counts, and nobody says how many were quiet")
  func noWatch() throws {
    let found = try counts(Stopwatch(warmup: 1, repeats: 5, budgetSeconds: 60))
    #expect(found == (5, 5, nil))
  }

  @Test("a disturbed window takes the passes on both sides of it, which are repeated")
  func disturbed() throws {
    // Windows stand before the first pass and after every one: the third is between the second and the third pass.
    let found = try counts(stopwatch([1, 1, 0.5, 1]))
    #expect(found == (7, 5, 5))
    #expect(try counts(stopwatch([1, 0.91])) == (5, 5, 5))
  }

  @Test("with no patience left all passes count when fewer than three were quiet")
  func neverQuiet() throws {
    #expect(try counts(stopwatch([0.5], patience: 0)) == (3, 3, 0))
    #expect(try counts(stopwatch([1, 1, 1, 0.5], patience: 0)) == (3, 3, 2))
    #expect(try counts(stopwatch([1, 1, 1, 1, 0.5], patience: 0)) == (4, 3, 3))
    #expect(try counts(stopwatch([1], repeats: 1)) == (1, 1, 1))
  }

  @Test("a window above the peak that was measured before takes its place")
  func higherPeak() {
    var rates = [100.0, 200, 150]
    var watch = QuietWatch(share: 0.9, patience: 1, peak: 90) { rates.removeFirst() }
    #expect([watch.isQuiet(), watch.isQuiet(), watch.isQuiet()] == [true, true, false])
    #expect(watch.peak == 200)
  }
}
