import Attention
import Basics
import Foundation
import Presets
import Records
import Testing

@testable import Pages
@testable import Trainings

/// `attnlab bench`: training steps beside their targets.
@Suite struct StepsTableTests {
  /// A training of 2 ms steps, 64 tokens and 10⁷ operations each, on a machine of 10 GFLOP/s.
  private static func row(_ id: String, steps: Int, width: Int = 64) -> TrainingRow {
    var row = TrainingRow()
    (row.runID, row.experiment, row.task, row.attention) = (id, "steps", "markov", "full")
    (row.evaluation, row.status, row.threads, row.isa) = (.test, .ok, 2, "avx2")
    (row.taskConfiguration, row.modelConfiguration) = ("length=8", "width=\(width);layers=2")
    (row.steps, row.tokens, row.computeFlops) = (steps, 64 * steps, 1e7 * Double(steps))
    // The whole training ran at half the speed of its warm steps: 64 tokens in 4 ms, 2.5 of 10 GFLOP/s.
    (row.tokensPerSecond, row.fractionOfPeak) = (16000, 0.25)
    return row
  }

  /// Steps that take so many seconds each.
  private static func steps(_ id: String, _ seconds: [Double]) -> [StepRow] {
    var end = 0.0
    return seconds.enumerated().map { number, time in
      end += time
      var row = StepRow()
      (row.runID, row.step, row.seconds, row.tokens) = (id, number + 1, end, 64 * (number + 1))
      return row
    }
  }

  private static func targets(_ entries: String) throws -> [String: [TrainingTarget]] {
    let yaml = """
      experiments:
        - name: steps
          experiment: training
          task: {id: markov, length: 8}
          targets: [\(entries)]
      """
    return try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).trainingTargets
  }

  @Test("warm: without the first three steps and those with an evaluation; fractions of the row's own peak")
  func arithmetic() throws {
    let seconds = [0.5, 0.1, 0.1, 0.001, 0.002, 0.002, 0.003, 0.9, 0.002, 0.7]
    let row = Self.row("a", steps: 10)
    let others = Self.steps("b", [9, 9, 9, 9, 9])
    let timing = try #require(
      StepTiming(of: row, steps: (others + Self.steps("a", seconds)).reversed(), evaluated: [8, 10]))
    let expected = [0.001, 0.002, 0.002, 0.003, 0.002]
    #expect(timing.seconds.count == 5)
    for (found, wanted) in zip(timing.seconds, expected) { #expect(abs(found - wanted) < 1e-12) }
    #expect(timing.tokens == 64 && timing.threads == 2 && timing.operations == 1e7)
    #expect(abs(timing.seconds(0.5) - 0.002) < 1e-12)
    #expect(abs(timing.seconds(0.2) - 0.0018) < 1e-12 && abs(timing.seconds(0.8) - 0.0022) < 1e-12)
    #expect(abs(timing.tokensPerSecond - 32000) < 1e-6)
    #expect(abs(try #require(timing.peak) - 1e10) < 1)
    #expect(abs(try #require(timing.fractionOfPeak) - 0.5) < 1e-9)
    #expect(timing.json["allocations"] == .null && !timing.text.contains("allocation"))
  }

  @Test("no warm step, no figure: too few steps, a training that failed, a gap, a clock that went back")
  func none() {
    for count in 1...3 {
      let steps = Self.steps("a", Array(repeating: 0.002, count: count))
      #expect(StepTiming(of: Self.row("a", steps: count), steps: steps, evaluated: []) == nil)
    }
    // The fourth is warm, but it is the last, which ends with an evaluation.
    let four = Self.steps("a", [0.002, 0.002, 0.002, 0.002])
    #expect(StepTiming(of: Self.row("a", steps: 4), steps: four, evaluated: [4]) == nil)
    #expect(StepTiming(of: Self.row("a", steps: 4), steps: four, evaluated: [])?.seconds.count == 1)
    var failed = Self.row("a", steps: 4)
    failed.status = .error
    #expect(StepTiming(of: failed, steps: four, evaluated: []) == nil)
    #expect(StepTiming(of: Self.row("a", steps: 4), steps: [four[0], four[3]], evaluated: []) == nil)
    var back = four
    back[3].seconds = 0.001
    #expect(StepTiming(of: Self.row("a", steps: 4), steps: back, evaluated: []) == nil)
    #expect(StepTiming(of: Self.row("a", steps: 4), steps: [], evaluated: []) == nil)
  }

  @Test("without a fraction in the row there is a time and no fraction")
  func noPeak() throws {
    var row = Self.row("a", steps: 5)
    row.fractionOfPeak = nil
    let timing = try #require(
      StepTiming(of: row, steps: Self.steps("a", Array(repeating: 0.002, count: 5)), evaluated: [5]))
    #expect(timing.peak == nil && timing.fractionOfPeak == nil && timing.seconds.count == 1)
    let targets = try Self.targets("{figure: fraction_of_limit, at_least: 0.5}")
    let table = StepsTable(rows: [row], timings: ["a": timing], jobs: [], targets: targets)
    #expect(table.lines[0].isReached == nil)
    #expect(!table.text(width: 300).contains("missed"))
  }

  @Test("the first target whose settings a training has, whether it is reached, and what failed")
  func table() throws {
    let targets = try Self.targets(
      "{model.width: [32, 64.0], task.id: markov, figure: fraction_of_limit, at_least: 0.6}, "
        + "{task.length: 8, figure: fraction_of_limit, at_least: 0.4}")
    var failed = TrainingRow()
    (failed.runID, failed.experiment, failed.task, failed.evaluation) = ("c", "steps", "markov", .test)
    (failed.status, failed.reason) = (.error, "step 2: the loss is no number")
    var changed = Self.row("a", steps: 5)
    changed.evaluation = .changed
    let rows = [Self.row("a", steps: 5), Self.row("b", steps: 5, width: 128), failed, changed]
    let timings = Dictionary(
      uniqueKeysWithValues: ["a", "b"].enumerated().compactMap { number, id in
        StepTiming(
          of: rows[number], steps: Self.steps(id, Array(repeating: 0.002, count: 5)), evaluated: [5]
        ).map { (id, $0) }
      })
    let table = StepsTable(rows: rows, timings: timings, jobs: [], targets: targets)
    #expect(table.lines.map(\.isReached) == [false, true, nil])
    #expect(table.lines.map { $0.target?.atLeast } == [0.6, 0.4, nil])
    let lines = table.text(width: 300).split(separator: "\n")
    #expect(lines.count == 5)
    let words = lines.map { $0.split(separator: " ").map(String.init) }
    #expect(words[2].suffix(3) == ["50%", "60%,", "missed"] && words[3].suffix(2) == ["50%", "40%"])
    #expect(lines[4].contains("step 2: the loss is no number"))
    #expect(table.json.arrayValue.map { $0["target_reached"] } == [.bool(false), .bool(true), .null])
  }

  @Test("JSON: the columns of runs.csv, then the figures")
  func json() throws {
    let row = Self.row("a", steps: 5)
    let timing = StepTiming(of: row, steps: Self.steps("a", [1, 1, 1, 0.002, 0.002]), evaluated: [5])
    let table = StepsTable(
      rows: [row], timings: timing.map { ["a": $0] } ?? [:], jobs: [],
      targets: try Self.targets("{figure: fraction_of_limit, at_least: 0.5}"))
    let found = try #require(table.json.arrayValue.first)
    #expect(found["run_id"] == .string("a") && found["tokens_per_second"] == .double(16000))
    #expect(found["steps_timed"] == .int(1))
    #expect(found["target"] == .object(["figure": .string("fraction_of_limit"), "at_least": .double(0.5)]))
    for key in ["step_seconds_median", "step_seconds_p20", "step_seconds_p80"] {
      #expect(abs(try #require(found[key].numberValue) - 0.002) < 1e-12, "\(key)")
    }
    #expect(found["step_flops"] == .double(1e7))
    #expect(found.members.allSatisfy { !$0.key.contains { $0.isUppercase } })
    let empty = StepsTable(rows: [row], timings: [:], jobs: [], targets: [:]).json.arrayValue[0]
    #expect(empty["steps_timed"] == .int(0) && empty["step_seconds_median"] == .null)
    #expect(empty["target"] == .null && empty["target_reached"] == .null)
  }

  @Test(
    "a wrong target is named with its line",
    arguments: [
      ("{figure: times_float32, at_least: 0.5}", "figure: times_float32 is not allowed; it takes "),
      ("{model.width: 64, at_least: 0.5}", "a target needs figure and at_least"),
      ("{figure: fraction_of_limit, at_least: 0}", "at_least: 0 is not allowed; it takes a number from "),
      (
        "{figure: fraction_of_limit, at_least: 1, model.widht: 64}",
        "targets: model.widht is no setting; write task.NAME, model.NAME or training.NAME (did you mean model.width?)"
      ),
      (
        "{figure: fraction_of_limit, at_least: 1, width: 64}",
        "targets: width is no setting; write task.NAME, model.NAME or training.NAME"
      ),
      ("{figure: fraction_of_limit, at_least: 1, task.lenght: 8}", "targets: task.lenght is no setting; "),
      ("{figure: fraction_of_limit, at_least: 1, model.width: []}", "model.width: an empty list"),
      ("{figure: fraction_of_limit, at_least: 1, model.width: {a: 1}}", "model.width: {a: 1} is not allowed"),
      ("fraction_of_limit", "fraction_of_limit stands where fields "),
    ])
  func wrongTargets(target: String, line: String) {
    let yaml =
      "experiments:\n  - name: a\n    experiment: training\n    task: {id: markov, length: 8}\n    targets:\n"
      + "      - \(target)\n"
    let error = #expect(throws: UsageError.self) {
      try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard)
    }
    #expect(error?.description.hasPrefix("p.yaml:6: " + line) == true, "\(error?.description ?? "")")
  }

  @Test("targets that are no list are refused; none is none, and they change no id")
  func lists() throws {
    let yaml = "experiment: training\ntask: {id: markov, length: 8}\n"
    func preset(_ more: String) throws -> Preset {
      try Preset(yaml: yaml + more, file: "p.yaml", catalog: .standard, kinds: .standard)
    }
    for wrong in ["targets: []", "targets: {figure: fraction_of_limit, at_least: 1}", "targets: fast"] {
      let error = #expect(throws: UsageError.self) { try preset(wrong) }
      #expect(error?.description.hasPrefix("p.yaml:3: targets: ") == true, "\(error?.description ?? "")")
    }
    let with = try preset("targets: [{figure: fraction_of_limit, at_least: 1}]")
    #expect(try preset("").trainingTargets.isEmpty && with.trainingTargets[""]?.count == 1)
    #expect(try preset("").trainings.map(\.id) == with.trainings.map(\.id))
  }

  @Test("every training of the performance preset has its target, and no target is idle")
  func everyTraining() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Experiments/performance.yaml").standardized.path
    let preset = try Preset(file: file, catalog: .standard, kinds: .standard)
    var found: [String: [Double]] = [:]
    for job in preset.trainings {
      // A row of a training that failed: what the preset says is known all the same.
      var row = TrainingRow()
      (row.runID, row.task, row.evaluation, row.experiment) = (job.id, job.task, .test, job.experiment)
      let table = StepsTable(
        rows: [row], timings: [:], jobs: preset.trainings, targets: preset.trainingTargets)
      found[job.experiment, default: []].append(try #require(table.lines.first?.target).atLeast)
      let training = try job.resolved(catalog: .standard).training
      #expect(training.evaluateEvery == 0 && training.evaluationBatches == 1)
      #expect(training.steps > StepTiming.warmupSteps + 16)
    }
    #expect(found == ["steps": [0.6, 0.78], "steps-shared": [0.5, 0.75]])
    #expect(preset.trainings.map(\.threads) == [1, 1, nil, nil])
  }
}
