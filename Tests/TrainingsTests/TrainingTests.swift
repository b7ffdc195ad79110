import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Testing

@testable import Presets
@testable import Processes
@testable import Records
@testable import Trainings

/// Presets of kind training: sweeps, refusals, rows, and going on where they stopped.
@Suite struct TrainingTests {
  static let yaml = """
    title: small
    experiment: training
    seed: [1, 2]
    task: {id: induction, length: 8, vocabulary: 6}
    model: {width: 8, layers: 1, heads: 2, hidden: 8}
    training: {steps: 2, batch: 2, warmup: 0, evaluation_batches: 1}
    points:
      - {model.attention: full}
      - {model.attention: "sliding-window(left=2), full", model.layers: 2}
    evaluate:
      - {attention: ["sliding-window(left=1)"], batches: 1}
    """

  @Test("an evaluation with another memory is a row of its own, and the memory's bytes are counted")
  func memories() throws {
    let yaml = """
      experiment: training
      task: {id: echo, length: 6, distance: 4}
      model: {width: 8, layers: 2, heads: 2, hidden: 8, memory: 5}
      training: {steps: 2, batch: 3, warmup: 0, evaluation_batches: 1, accumulation: 2}
      evaluate: [{memory: [0, 5, 9], batches: 3}]
      """
    let preset = try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    let run = try TrainingRun(#require(preset.trainings.first), catalog: .standard, threads: 1)
    let rows = try run.evaluate()
    #expect(rows.map(\.evaluationMemory) == [0, 5, 9])
    #expect(Set(rows.map(\.testLoss)).count == 3)
    // Two passes of three rows, two layers, 8 wide.
    #expect(run.identity(started: Date()).memoryBytes == 4 * 2 * 3 * 2 * 5 * 8)
  }

  @Test(
    "a trained model is evaluated with positions that turn otherwise; what it cannot turn by is refused with the preset"
  )
  func rotary() throws {
    let yaml = """
      experiment: training
      task: {id: mqar, length: 12, pairs: 2, vocabulary: 16}
      model: {width: 8, layers: 1, heads: 2, hidden: 8}
      training: {steps: 2, batch: 3, warmup: 0, evaluation_batches: 1}
      evaluate: [{rotary: [plain, "linear(factor=8)", "yarn(factor=8, original_length=12)"], batches: 3}, {batches: 3}]
      """
    let preset = try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    let job = try #require(preset.trainings.first)
    let rows = try TrainingRun(job, catalog: .standard, threads: 1).evaluate()
    #expect(
      rows.map(\.evaluationRotary) == ["plain", "linear(factor=8)", "yarn(factor=8, original_length=12)", ""])
    let losses = rows.map(\.testLoss)
    #expect(losses[0] == losses[3] && Set(losses).count == 3)
    #expect(TrainingComparison(rows).lines.map(\.evaluation).contains("rotary linear(factor=8)"))
    for (from, to) in [("linear(factor=8)", "linaer"), ("heads: 2", "heads: 2, position: none")] {
      #expect(throws: UsageError.self) {
        try Preset(
          yaml: yaml.replacing(from, with: to), file: "small.yaml", catalog: .standard, kinds: .standard)
      }
    }
  }

  @Test func sweepsAndPointsMultiply() throws {
    let jobs = try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard).trainings
    #expect(jobs.count == 4)
    #expect(jobs.map(\.seed) == [1, 2, 1, 2])
    #expect(jobs[2].modelSettings["attention"] == .string("sliding-window(left=2), full"))
    #expect(Set(jobs.map(\.id)).count == 4)
    #expect(jobs[0].evaluations.count == 1)
  }

  @Test(arguments: [
    ("id: induction", "id: inducton", "did you mean induction?"),
    ("heads: 2", "heads: 3", "heads: 3 is not allowed; it takes a divisor of the width 8"),
    ("steps: 2", "stepz: 2", "did you mean steps?"),
    ("model.layers: 2", "layers: 2", "layers is no path"),
    ("experiment: training", "experiment: trainin", "did you mean training?"),
    ("left=1", "lft=1", "did you mean left?"),
    (
      "], batches: 1}", "], batches: 1, task: {vocabulary: 32}}",
      "evaluate: vocabulary: 6 is not allowed; it takes at least 32"
    ),
    ("seed: [1, 2]", "seeds: 3", "(did you mean seed?)"),
    ("width: 8,", "width: 8, memory: 4,", "memory: 4 is not allowed; it takes 0 with the task induction"),
    (
      "steps: 2", "consecutive: true, steps: 2",
      "consecutive: true is not allowed; it takes false with the task"
    ),
    (
      "], batches: 1}", "], batches: 1, memory: 4}",
      "evaluate: memory: 4 is not allowed; it takes 0 with the task"
    ),
  ])
  func refusals(_ text: String, _ other: String, _ expected: String) {
    let yaml = Self.yaml.replacingOccurrences(of: text, with: other)
    let error = #expect(throws: UsageError.self) {
      try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    }
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasPrefix("small.yaml:") == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [1e26, 1e300]) func aBudgetThatNobodyHasIsRefused(compute: Double) throws {
    var job = try #require(
      try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard).trainings.first)
    job.compute = compute
    let error = #expect(throws: ConfigurationError.self) {
      try TrainingRun(job, catalog: .standard, threads: 1)
    }
    #expect(error?.field == "compute")
  }

  @Test func listsThatMakeTooManyTrainingsAreRefused() {
    let widths = (1...120).map { "\(8 * $0)" }.joined(separator: ", ")
    let yaml = Self.yaml.replacingOccurrences(of: "width: 8", with: "width: [\(widths)]")
      .replacingOccurrences(of: "steps: 2", with: "steps: [\(widths)]")
    let error = #expect(throws: UsageError.self) {
      try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    }
    #expect(error?.description.contains("more than 10000 trainings") == true)
  }

  @Test func aFurtherEvaluationMayHaveNoGlobalRows() throws {
    let yaml = Self.yaml.replacingOccurrences(
      of: "model.attention: full",
      with: "model.attention: local-global(left=2), model.global_projections: separate")
    let job = try #require(
      try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard).trainings.first)
    let run = try TrainingRun(job, catalog: .standard, threads: 1)
    #expect(
      run.trainer.model.configuration.attention == "local-global(left=2, projections=separate)")
    let rows = try run.evaluate()
    #expect(rows.map { $0["evaluation_attention"] } == ["sliding-window(left=1)"])
    #expect(rows.allSatisfy { ($0.testLoss ?? 0) > 0 })
  }

  @Test("a forecast takes every further evaluation by its own length, not by the length of the training")
  func forecastOfEvaluations() throws {
    func seconds(_ length: Int) throws -> Double {
      let yaml = """
        experiment: training
        task: {id: markov, length: 2048, vocabulary: 16}
        model: {width: 16, layers: 2, heads: 2, hidden: 16}
        training: {steps: 1, batch: 1, warmup: 0, evaluate_every: 0, evaluation_batches: 1}
        evaluate: [{task: {length: \(length)}, batches: 1000}]
        """
      let preset = try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
      return try TrainingForecast(preset.trainings, catalog: .standard).lines[0].seconds
    }
    let short = try seconds(8), same = try seconds(2048), long = try seconds(8192)
    #expect(2 * short < same && 2 * same < long, "\(short), \(same), \(long)")
  }

  @Test func finishedTrainingsAreNotRunAgain() async throws {
    let scratch = try Scratch(), path = scratch("run")
    let preset = try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    #expect(try await preset.run(1, in: path) == [0, 1])
    let before = try CSVTable(contentsOf: path + "/runs.csv")
    #expect(before.rows.count == 2)
    #expect(try before.strings("status") == ["ok", "ok"])
    #expect(try before.strings("evaluation") == ["changed", "test"])
    #expect(try before.numbers("test_loss").allSatisfy { $0.map { $0 > 0 } ?? false })
    // A torn line, and a row of a training that was killed before its own: both go, and the training is made again.
    let torn = before.rows[0].map { $0 == before.rows[0][0] ? preset.trainings[1].id : $0 }
    let text = try String(contentsOfFile: path + "/runs.csv", encoding: .utf8)
    try Data((text + CSVTable.line(torn) + "torn,li").utf8).write(
      to: URL(fileURLWithPath: path + "/runs.csv"))
    #expect(try await preset.run(2, in: path) == [1, 1])
    #expect(try CSVTable(contentsOf: path + "/runs.csv").rows.count == 4)
    #expect(try await preset.run(2, in: path) == [2, 0])
    #expect(try CSVTable(contentsOf: path + "/curves.csv").rows.count == 2)
    let record = try JSONValue(
      parsing: String(contentsOfFile: path + "/environment.json", encoding: .utf8), file: "environment.json")
    #expect(record["preset"].stringValue == "small")
    #expect(record["sessions"].arrayValue.count == 2)
    #expect((record["peak_gflops"].numberValue ?? 0) > 0)
    // Another preset does not write into the folder.
    let other = try Preset(
      yaml: Self.yaml.replacingOccurrences(of: "steps: 2", with: "steps: 3"), file: "small.yaml",
      catalog: .standard, kinds: .standard)
    await #expect(throws: UsageError.self) {
      try await Runner(
        TrainingExperiment.self, other.trainings, in: RunFolder(path),
        RunSetting(other, catalog: .standard)
      ).run()
    }
  }

  @Test func anInterruptedTrainingIsSavedAndGoesOn() throws {
    let scratch = try Scratch(), path = scratch("checkpoint.safetensors")
    let job = try #require(
      try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard).trainings.first)
    let stop = Interruption()
    let first = try TrainingRun(job, catalog: .standard, threads: 1)
    #expect(throws: Interrupted.self) {
      _ = try first.run(checkpoint: path, interruption: stop) { _ in stop.request() }
    }
    var second = try TrainingRun(job, catalog: .standard, threads: 1)
    try second.resume(from: path)
    #expect(second.trainer.step == 1)
    let row = try second.run(checkpoint: path, interruption: Interruption()) { _ in }
    let whole = try TrainingRun(job, catalog: .standard, threads: 1)
      .run(interruption: Interruption()) { _ in }
    #expect(row.testLoss != nil && row.testLoss == whole.testLoss)
    #expect(row.validationLoss == whole.validationLoss)
  }

  @Test func aBudgetOfOperationsSetsTheSteps() throws {
    var job = try #require(
      try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard).trainings.first)
    let step = try TrainingRun(job, catalog: .standard, threads: 1).operations / 2
    job.compute = 5 * step
    #expect(try TrainingRun(job, catalog: .standard, threads: 1).trainer.configuration.steps == 5)
  }
}
