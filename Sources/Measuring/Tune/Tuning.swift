import Basics
import Tensors

/// One value that may be chosen, and how it gets into the choices.
public struct TuningCandidate: Sendable {
  /// The value as it is shown.
  public let text: String
  /// Puts it into choices.
  public let apply: @Sendable (inout ProcessorChoices) -> Void

  /// Creates a candidate.
  public init(_ text: String, _ apply: @escaping @Sendable (inout ProcessorChoices) -> Void) {
    (self.text, self.apply) = (text, apply)
  }

  /// A value of a choice.
  public init(_ choice: ProcessorChoice, _ value: Int) {
    self.init("\(value)") { $0[choice] = value }
  }
}

/// One choice that is measured anew: its candidates, the one in force first, and the work that shows the difference.
public struct TuningProbe: Sendable {
  /// The choice.
  public let name: String
  /// Its unit.
  public let unit: String
  /// The work, in a few words.
  public let work: String
  /// What may be chosen; the first is in force.
  public let candidates: [TuningCandidate]
  /// Makes the work under choices ready: a closure that does it once.
  public let prepare: @Sendable (ProcessorChoices) throws -> () throws -> Void

  /// Creates a probe.
  public init(
    name: String, unit: String, work: String, candidates: [TuningCandidate],
    prepare: @escaping @Sendable (ProcessorChoices) throws -> () throws -> Void
  ) {
    (self.name, self.unit, self.work) = (name, unit, work)
    (self.candidates, self.prepare) = (candidates, prepare)
  }
}

/// What was found of one choice.
public struct TuningFinding: Sendable {
  /// The probe.
  public let name: String, unit: String, work: String
  /// The values, the one that was in force first.
  public let values: [String]
  /// Seconds of every value, round by round.
  public let seconds: [[Double]]
  /// Which value is taken.
  public let taken: Int

  /// The middle time of a value.
  public func median(_ value: Int) -> Double { Quantiles.median(seconds[value]) }
  /// Whether another value than the one in force is taken.
  public var isChanged: Bool { taken != 0 }
}

/// Measures choices anew, one after the other, each with what was taken before it.
public enum Tuning {
  /// Rounds: in each, every value is timed once, in turn, so that other work slows all alike.
  public static let rounds = 11
  /// What a value must save, beside being better in four rounds of five: less is within what a second run may find otherwise.
  public static let gain = 0.01
  /// Seconds that one time spans at least.
  static let span = 4e-3

  /// Which value is taken: of those that are faster than the one in force by more than the spread (the ratio of the times of one round
  /// has its fourth quintile below `1 − gain`), the one with the least middle ratio; else the one in force.
  /// - Parameter seconds: of every value, round by round; the value in force first.
  public static func taken(_ seconds: [[Double]]) -> Int {
    var best = (index: 0, ratio: 1.0)
    for (index, own) in seconds.enumerated().dropFirst() {
      let ratios = zip(own, seconds[0]).map { $0 / $1 }
      let middle = Quantiles.median(ratios)
      if Quantiles.of(ratios, 0.8) < 1 - gain, middle < best.ratio { best = (index, middle) }
    }
    return best.index
  }

  /// Runs probes in order and puts what is taken into the choices.
  /// - Parameters:
  ///   - probes: made from the choices so far, so that the value in force comes first.
  ///   - choices: those in force at first; those that are taken at last.
  ///   - rounds: how often every value is timed.
  ///   - time: seconds of a piece of work; `nil`: those of the clock.
  ///   - note: told what is measured next.
  /// - Throws: what the work throws.
  public static func run(
    _ probes: [(ProcessorChoices) -> TuningProbe], choices: inout ProcessorChoices, rounds: Int = rounds,
    time: ((TuningProbe, Int, () throws -> Void) throws -> Double)? = nil, note: (String) -> Void = { _ in }
  ) throws -> [TuningFinding] {
    var findings: [TuningFinding] = []
    for make in probes {
      let probe = make(choices)
      guard probe.candidates.count > 1 else { continue }
      note("\(probe.name): \(probe.work)")
      let works = try probe.candidates.map { candidate in
        var own = choices
        candidate.apply(&own)
        return try ProcessorChoices.$override.withValue(own) { try probe.prepare(own) }
      }
      var seconds = [[Double]](repeating: [], count: works.count)
      var repeats = 1
      if time == nil {
        let once = try clock(works[0], 1)
        repeats = max(1, Int((span / max(once, 1e-6)).rounded(.up)))
      }
      // The round before the first warms caches and makes schedules.
      for round in -1..<rounds {
        for (index, work) in works.enumerated() {
          let found = try time.map { try $0(probe, index, work) } ?? clock(work, repeats)
          if round >= 0 { seconds[index].append(found) }
        }
      }
      let taken = taken(seconds)
      probe.candidates[taken].apply(&choices)
      findings.append(
        TuningFinding(
          name: probe.name, unit: probe.unit, work: probe.work, values: probe.candidates.map(\.text),
          seconds: seconds, taken: taken))
    }
    return findings
  }

  private static func clock(_ work: () throws -> Void, _ repeats: Int) throws -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<repeats { try work() }
    return (clock.now - start).seconds / Double(repeats)
  }
}
