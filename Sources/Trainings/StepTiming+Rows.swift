import Basics
import Foundation
import Records

// The steps of a training that was made, from its rows: what `attnlab bench` and reports show.

extension StepTiming {
  /// Steps at the beginning of a training that are no measure: they make buffers and plans, and find caches empty.
  public static let warmupSteps = 3

  /// Times the warm steps of a training by the rows that it wrote.
  ///
  /// The time of step i is the seconds of its row less those of row i − 1. Left out are the first three steps, and those
  /// that ended with an evaluation, whose time is in theirs. Operations of a step are `compute_flops / steps`; the peak is
  /// the one that the row's own `fraction_of_peak` is a fraction of.
  /// - Parameters:
  ///   - row: the training's row.
  ///   - steps: rows of `steps.csv`, in any order; those of other trainings are passed over.
  ///   - evaluated: steps of this training that ended with an evaluation.
  /// - Returns: `nil` of a training that failed, and where no warm step is left.
  public init?(of row: TrainingRow, steps: [StepRow], evaluated: Set<Int>) {
    guard row.isDone, row.isTraining, let count = row.steps, count > 0, let tokens = row.tokens,
      let operations = row.computeFlops
    else { return nil }
    // Of several tasks a step has a row each, with the same time.
    var ends: [Int: Double] = [:]
    for step in steps where step.runID == row.runID {
      if let number = step.step, let seconds = step.seconds { ends[number] = seconds }
    }
    let seconds = ends.keys.sorted().compactMap { number -> Double? in
      guard number > Self.warmupSteps, !evaluated.contains(number), let end = ends[number],
        let start = ends[number - 1], end > start
      else { return nil }
      return end - start
    }
    guard !seconds.isEmpty else { return nil }
    self.init(
      seconds: seconds, tokens: tokens / count, operations: operations / Double(count),
      peak: Self.peak(of: row), allocations: nil, threads: row.threads ?? 1)
  }

  /// Operations a second that the row's fraction of the peak is a fraction of: t·C / (D·f), with t tokens a second, C
  /// operations, D tokens and the fraction f. `nil`: the row has no fraction.
  private static func peak(of row: TrainingRow) -> Double? {
    guard let speed = row.tokensPerSecond, let operations = row.computeFlops, let tokens = row.tokens,
      let fraction = row.fractionOfPeak, fraction > 0, tokens > 0
    else { return nil }
    return speed * operations / (Double(tokens) * fraction)
  }
}

extension TrainingExperiment {
  /// The warm steps of the trainings in a folder, by `run_id`; none where it has no `steps.csv`.
  /// - Throws: `UsageError` when a table cannot be read.
  public static func timings(of rows: [TrainingRow], in folder: String) throws(UsageError) -> [String:
    StepTiming]
  {
    let file = folder + "/" + stepTable
    guard FileManager.default.fileExists(atPath: file) else { return [:] }
    let steps = Dictionary(grouping: try StepRow.read(file), by: \.runID)
    var evaluated: [String: Set<Int>] = [:]
    for point in try curves(in: folder) ?? [] {
      if let step = point.step { evaluated[point.runID, default: []].insert(step) }
    }
    var timings: [String: StepTiming] = [:]
    for row in rows where row.isTraining {
      timings[row.runID] = StepTiming(
        of: row, steps: steps[row.runID] ?? [], evaluated: evaluated[row.runID] ?? [])
    }
    return timings
  }
}
