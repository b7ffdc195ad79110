import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Testing

@testable import Presets
@testable import Records
@testable import Trainings

/// Presets whose trainings learn several tasks at once: sweeps, ids, a row a task, and what names them.
@Suite struct AuxiliaryTrainingTests {
  static let yaml = """
    title: small
    experiment: training
    task: {id: induction, length: 8, vocabulary: 6}
    model: {width: 8, layers: 1, heads: 2, hidden: 8}
    training: {steps: 6, batch: 2, warmup: 0, evaluation_batches: 1, evaluate_every: 3}
    auxiliary:
      - []
      - [{id: echo, length: 6, vocabulary: 4, distance: 2, weight: [0, 0.5]}]
      - [{id: echo, name: copy, length: 6, vocabulary: 40, distance: 2, share: 0.5}]
    """

  private static func jobs(_ yaml: String = yaml) throws -> [TrainingJob] {
    try Preset(yaml: yaml, file: "small.yaml", catalog: .standard, kinds: .standard).trainings
  }

  @Test(
    "lists of tasks and of values are sweeps, and an empty one is the main task alone, under the id that it had"
  )
  func sweeps() throws {
    let jobs = try Self.jobs()
    #expect(
      jobs.map { AuxiliaryEntry.line($0.auxiliary) } == [
        "", "echo(distance=2, length=6, vocabulary=4, weight=0.0)",
        "echo(distance=2, length=6, vocabulary=4, weight=0.5)",
        "echo(distance=2, length=6, name=copy, share=0.5, vocabulary=40)",
      ])
    let alone = Self.yaml.prefix(upTo: try #require(Self.yaml.range(of: "auxiliary:")).lowerBound)
    #expect(try Self.jobs(String(alone)).map(\.id) == [jobs[0].id])
    #expect(Set(jobs.map(\.id)).count == 4)
    for job in jobs.dropFirst() {
      #expect(try AuxiliaryEntry.parse(AuxiliaryEntry.line(job.auxiliary)) == job.auxiliary)
    }
    let name = TrainingExperiment.names(of: jobs)
    #expect(name(jobs[0]) == "induction" && name(jobs[3]).contains("auxiliary=echo(distance=2"))
  }

  @Test("every task has a row of its test, rows of its curve and rows of its steps")
  func tables() async throws {
    let preset = try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    let scratch = try Scratch()
    #expect(try await preset.run(4, in: scratch.path) == [0, 4])
    #expect(try await preset.run(4, in: scratch.path) == [4, 0])
    let rows = try TrainingRow.read(scratch.path + "/runs.csv"), jobs = try Self.jobs()
    func own(_ job: Int) -> [TrainingRow] { rows.filter { $0.runID == jobs[job].id } }
    #expect(own(0).map(\.role) == [nil] && own(0)[0].auxiliary.isEmpty && own(0)[0].lossTask.isEmpty)
    #expect(own(2).map(\.role) == [.auxiliary, .main] && own(2).map(\.lossTask) == ["echo", "induction"])
    #expect(own(2).map(\.evaluation) == [.auxiliary, .test] && own(2).map(\.taskWeight) == [0.5, 1])
    #expect(own(2).map(\.taskSteps) == [6, 6] && own(2).map(\.taskTokens) == [72, 96])
    #expect(own(2).allSatisfy { $0.tokens == 168 && $0.computeFlops == own(2)[0].computeFlops })
    #expect(own(2)[0].evaluationTask.contains("distance=2") && own(2)[0].testLoss != own(2)[1].testLoss)
    #expect(own(1).map(\.taskSteps) == [0, 6])
    #expect(own(1)[1].testLoss == own(0)[0].testLoss && own(1)[1].computeFlops == own(0)[0].computeFlops)
    #expect(own(3).map(\.taskShare) == [0.5, 0.5] && own(3).map(\.lossTask) == ["copy", "induction"])
    #expect(own(3).compactMap(\.taskSteps).reduce(0, +) == 6)
    let curves = try CurveRow.read(scratch.path + "/curves.csv").filter { $0.runID == jobs[2].id }
    #expect(curves.map(\.step) == [3, 3, 6, 6])
    #expect(curves.map(\.lossTask) == ["induction", "echo", "induction", "echo"])
    #expect(curves.last?.validationLoss == own(2)[0].validationLoss)
    let steps = try StepRow.read(scratch.path + "/steps.csv")
    #expect(steps.count { $0.runID == jobs[2].id } == 12 && steps.count { $0.runID == jobs[3].id } == 6)
    #expect(steps.filter { $0.runID == jobs[0].id }.allSatisfy { $0.role == nil && $0.lossTask.isEmpty })
    let comparison = TrainingComparison(rows)
    #expect(comparison.lines.count == 7)
    #expect(comparison.lines.map(\.evaluation).filter { $0 == "echo" }.count == 2, "\(comparison.text)")
    #expect(comparison.lines.contains { $0.label.contains("with echo(distance=2") }, "\(comparison.text)")
    #expect(!comparison.text.contains("task_heads"), "\(comparison.text)")
  }

  @Test(arguments: [
    ("distance: 2, weight: [0, 0.5]", "distance: 2, weight: 0.5, share: 0.1", "one of the two"),
    ("id: echo, name", "id: ecco, name", "did you mean echo?"),
    ("distance: 2, share", "distant: 2, share", "did you mean distance?"),
    ("share: 0.5", "share: 1.5", "share: 1.5 is not allowed; it takes a number between 0 and 1"),
    ("name: copy, length: 6", "name: a b, length: 6", "task_heads"),
    ("share: 0.5}]", "share: 0.5}, {id: echo, name: copy}]", "copy twice is not allowed"),
    ("- []", "- {id: echo}", "stands among lists; it takes a list of mappings"),
    (
      "id: echo, name: copy, length: 6, vocabulary: 40, distance: 2", "id: reversal",
      "language models and class"
    ),
  ])
  func refusals(_ text: String, _ other: String, _ expected: String) {
    let yaml = Self.yaml.replacingOccurrences(of: text, with: other)
    let error = #expect(throws: UsageError.self) { try Self.jobs(yaml) }
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasPrefix("small.yaml:") == true, "\(error?.description ?? "")")
  }
}
