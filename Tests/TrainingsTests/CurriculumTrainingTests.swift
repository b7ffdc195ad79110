import Attention
import AttentionCore
import Basics
import LabTestSupport
import Settings
import Testing

@testable import Presets
@testable import Records
@testable import Trainings

/// Presets whose trainings begin with stages: operations, tokens, budgets and evaluations.
@Suite struct CurriculumTrainingTests {
  private static func yaml(_ training: String, _ rest: String = "") -> String {
    """
    title: small
    experiment: training
    task: {id: induction, length: 16, vocabulary: 6}
    model: {width: 8, layers: 1, heads: 2, hidden: 8}
    training: {batch: 2, warmup: 0, evaluation_batches: 1, \(training)}
    \(rest)
    """
  }

  private static func run(_ yaml: String) throws -> TrainingRun {
    let preset = try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    return try TrainingRun(#require(preset.trainings.first), catalog: .standard, threads: 1)
  }

  private static let stage = "curriculum: \"stage(steps=3, length=8, batch=5)\""

  @Test("a row's operations and tokens are those of the stages and of the steps behind them")
  func costs() async throws {
    let short = try Self.run(
      Self.yaml("steps: 1").replacing("16", with: "8").replacing("batch: 2", with: "batch: 5"))
    let long = try Self.run(Self.yaml("steps: 1")), mixed = try Self.run(Self.yaml("steps: 7, \(Self.stage)"))
    let operations = 3 * short.operations + 4 * long.operations, tokens = 3 * 5 * 8 + 4 * 2 * 16
    #expect(mixed.operations == operations)
    #expect(mixed.planned.tokens == Double(tokens))
    let preset = try Preset(
      yaml: Self.yaml(
        "steps: 7, evaluate_every: 2, \(Self.stage)", "evaluate: [{task: {length: 32}, batches: 1}]"),
      file: "small.yaml", catalog: .standard, kinds: .standard)
    let scratch = try Scratch()
    #expect(try await preset.run(1, in: scratch.path) == [0, 1])
    let rows = try TrainingRow.read(scratch.path + "/runs.csv")
    let row = try #require(rows.first { $0.evaluation == .test })
    #expect(row.computeFlops == operations && row.tokens == tokens && row.steps == 7)
    #expect(row.trainingConfiguration.contains("curriculum=stage(steps=3, length=8, batch=5)"))
    #expect(rows.count { $0.evaluation == .changed } == 1)
    let curve = try CurveRow.read(scratch.path + "/curves.csv")
    let expected: [Double] = [2, 4, 6, 7].map { (steps: Int) -> Double in
      let first = Double(min(steps, 3)), rest = Double(max(0, steps - 3))
      return first * short.operations + rest * long.operations
    }
    #expect(curve.map(\.computeFlops) == expected)
  }

  @Test("a budget of operations is spent by stages first, and one that they exceed is refused")
  func budget() throws {
    let whole = try Self.run(Self.yaml("steps: 9, \(Self.stage)"))
    let spent = try Self.run(Self.yaml(Self.stage, "compute: \(whole.operations)"))
    #expect(spent.trainer.configuration.steps == 9)
    let error = #expect(throws: ConfigurationError.self) {
      try Self.run(Self.yaml(Self.stage, "compute: 1e3"))
    }
    #expect(error?.field == "compute" && error?.allowed.contains("of the curriculum") == true)
  }

  @Test(
    "a preset with stages that cannot be learned is refused with its line",
    arguments: [
      ("curriculum: \"stage(steps=3, lenth=8)\"", "lenth"), ("curriculum: \"stage(length=8)\"", "steps=…"),
      ("curriculum: \"stage(steps=3, attention=sliding)\"", "sliding-window"),
    ])
  func refusals(_ curriculum: String, _ words: String) throws {
    let error = #expect(throws: UsageError.self) { try Self.run(Self.yaml("steps: 7, \(curriculum)")) }
    #expect(error?.description.hasPrefix("small.yaml:") == true)
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }
}
