import Attention
import AttentionCore
import Basics
import Settings
import Testing

@testable import Presets
@testable import Processes
@testable import Records
@testable import Trainings

/// A way around attention is a line of a preset's task: it sweeps, is told in rows, and is refused in one line.
@Suite struct WayTrainingTests {
  private func preset(_ way: String, evaluate: String = "") throws -> Preset {
    let yaml = """
      experiment: training
      task: {id: passkey, length: 200, way: \(way)}
      model: {width: 8, layers: 1, heads: 2, hidden: 8}
      training: {steps: 1, batch: 2, warmup: 0, evaluation_batches: 1}
      \(evaluate)
      """
    return try Preset(yaml: yaml, file: "ways.yaml", catalog: .standard, kinds: .standard)
  }

  @Test("rows say what a way read and kept, and an evaluation may have another")
  func rows() throws {
    let ways =
      #"[none, "windows(length=64, stride=32)", "extract(tokens=64)", "retrieve(count=1, passage=64)"]"#
    let jobs = try preset(
      ways, evaluate: #"evaluate: [{task: {way: "windows(length=128, stride=128)"}, batches: 1}]"#
    ).trainings
    #expect(jobs.count == 4 && Set(jobs.map(\.id)).count == 4)
    for (place, job) in jobs.enumerated() {
      let run = try TrainingRun(job, catalog: .standard, threads: 1)
      let row = try run.run(interruption: Interruption(), progress: { _ in })
      #expect(row.taskConfiguration.contains("way=") == (place > 0))
      #expect(row.wayRead == (place > 0 ? 2 * 200 : nil))
      if let kept = row.wayKept {
        #expect(place == 1 ? kept > 400 : kept <= 2 * 128)
        #expect((row.waySeconds ?? -1) >= 0)
      }
      #expect(row.testCount == 10, "five digits of two rows, whatever the way")
      #expect(row.testExamples == 2 && row.testExactMatch == 0, "an answer a row, whatever the way")
      let changed = try run.evaluate()
      #expect(changed.map(\.testExamples) == [2])
      #expect(changed.map(\.wayRead) == [400] && changed.map(\.testCount) == [10])
    }
  }

  @Test(
    "a way that does not fit is one line with its place",
    arguments: [
      ("windos()", "did you mean windows?"), (#""windows(length=4, stride=8)""#, "at most length = 4"),
      ("extract(question=0)", "1 or more for method bm25"),
    ])
  func refusals(way: String, words: String) {
    #expect {
      try preset(way)
    } throws: {
      "\($0)".hasPrefix("ways.yaml") && "\($0)".contains(words) && !"\($0)".contains("\n")
    }
  }
}
