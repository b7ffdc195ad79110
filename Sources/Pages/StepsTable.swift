import Basics
import Foundation
import Presets
import Records
import Trainings

/// The warm training steps of the performance preset beside their targets.
package struct StepsTable {
  /// A training, and what its steps say.
  package struct Line {
    /// The training's row.
    package let row: TrainingRow
    /// Its warm steps; `nil`: it failed, or was too short to have any.
    package let timing: StepTiming?
    /// What they are to reach.
    package let target: Goal?

    /// Its settings by dotted path.
    package let settings: [String: String]

    /// The share of the multiply-add peak at the median.
    package var fractionOfLimit: Double? { timing?.fractionOfPeak }
    /// Whether the target is reached; `nil` without a target or a figure.
    package var isReached: Bool? { target?.isReached(by: fractionOfLimit) }
  }

  /// What the steps of a training are to reach.
  package typealias Goal = Presets.Goal<TrainingTarget.Figure>

  /// A line a training, in the order of the rows.
  package let lines: [Line]

  /// - Parameters:
  ///   - rows: rows of `runs.csv`; further evaluations are passed over.
  ///   - timings: the warm steps, by `run_id`.
  ///   - jobs: what the preset asks for.
  ///   - targets: what steps are to reach, by experiment.
  package init(
    rows: [TrainingRow], timings: [String: StepTiming], jobs: [TrainingJob],
    targets: [String: [TrainingTarget]]
  ) {
    let asked = Dictionary(jobs.map { ($0.id, $0) }) { first, _ in first }
    lines = rows.filter(\.isTraining).map { row in
      // A row has the settings in force, defaults too; that of a training that failed may have none.
      let settings = (asked[row.runID]?.settings ?? [:]).merging(row.settingsByPath) { $1 }
      let target = targets[row.experiment]?.first { $0.applies(to: settings) }
      return Line(row: row, timing: timings[row.runID], target: target?.goal, settings: settings)
    }
  }

  /// A table for people.
  package var text: String { text(width: Screen.columns()) }

  /// The same in lines of at most a width.
  package func text(width: Int) -> String {
    var table = TextTable([
      "experiment", "attention", "width", "layers", "tokens", "threads", "isa", "steps", "seconds", "20 %",
      "80 %", "tokens/s", "GFLOP/s", "of the limit", "target",
    ])
    for line in lines {
      let (row, timing) = (line.row, line.timing), settings = line.settings
      func figure(_ format: String, _ value: Double?) -> String {
        value.map { String(format: format, $0) } ?? ""
      }
      table.add([
        row.experiment, row.attention, settings["model.width"] ?? "", settings["model.layers"] ?? "",
        timing.map { "\($0.tokens)" } ?? "", row.threads.map { "\($0)" } ?? "", row.isa,
        timing.map { "\($0.seconds.count)" } ?? "",
        timing.map { String(format: "%.4f", $0.seconds(0.5)) } ?? (row.isDone ? "no warm step" : row.reason),
        figure("%.4f", timing?.seconds(0.2)), figure("%.4f", timing?.seconds(0.8)),
        figure("%.0f", timing?.tokensPerSecond),
        figure("%.0f", timing.map { $0.operations / $0.seconds(0.5) / 1e9 }),
        BenchTable.percent(line.fractionOfLimit),
        line.target.map { BenchTable.percent($0.atLeast) + (line.isReached == false ? ", missed" : "") }
          ?? "",
      ])
    }
    return
      "training steps, warm: the first \(StepTiming.warmupSteps) and those with an evaluation are left out\n"
      + table.text(width: width)
  }

  /// The same for programs: the columns of `runs.csv`, and the figures.
  package var json: JSONValue {
    .array(
      lines.map { line in
        let timing = line.timing
        return .object(
          line.row.json.members + [
            .init(key: "steps_timed", value: .int(timing?.seconds.count ?? 0)),
            .init(key: "step_seconds_median", value: .number(timing?.seconds(0.5))),
            .init(key: "step_seconds_p20", value: .number(timing?.seconds(0.2))),
            .init(key: "step_seconds_p80", value: .number(timing?.seconds(0.8))),
            .init(key: "step_tokens_per_second", value: .number(timing?.tokensPerSecond)),
            .init(key: "step_flops", value: .number(timing?.operations)),
            .init(key: "fraction_of_limit", value: .number(line.fractionOfLimit)),
            .init(key: "target", value: line.target?.json ?? .null),
            .init(key: "target_reached", value: line.isReached.map { .bool($0) } ?? .null),
          ])
      })
  }
}
