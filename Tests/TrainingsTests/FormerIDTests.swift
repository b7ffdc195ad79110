import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Testing

@testable import Presets
@testable import Records
@testable import Trainings

/// Trainings that an earlier version named after settings in camelCase.
@Suite struct FormerIDTests {
  private static let published = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("results/published").path

  @Test(
    "every published row is that of a training of its preset, read in the spelling of then and of today",
    arguments: [
      "distances", "documents", "facts", "latent", "memory", "mqar-window", "one-key", "own-pattern",
      "scaling-compute", "scores", "sinks", "spans", "stored", "variants-text",
    ])
  func publishedIDs(_ name: String) throws {
    let file = "\(Self.published)/\(name)/environment.json"
    let record = try JSONValue(parsing: try String(contentsOfFile: file, encoding: .utf8), file: file)
    let then = try #require(record["preset_text"].stringValue)
    #expect(then.contains("learningRate") || then.contains("keyHeads"))
    let rows = try TrainingRow.read("\(Self.published)/\(name)/runs.csv")
    let today = Self.published + "/../../Experiments/\(name).yaml"
    let texts = [then, try String(contentsOfFile: today, encoding: .utf8)]
    for text in texts {
      let jobs = try Preset(yaml: text, file: "p.yaml", catalog: .standard, kinds: .standard).trainings
      let ids = Set(jobs.flatMap { [$0.id] + $0.formerIDs })
      let foreign = rows.filter { !ids.contains($0.runID) }
      // A preset may have got trainings since, and lost some.
      #expect(foreign.count * 4 < rows.count, "\(foreign.count) of \(rows.count)")
    }
    #expect(rows.allSatisfy { !$0.trainingConfiguration.contains("learningRate") })
    #expect(rows.allSatisfy { $0.trainingConfiguration.contains(";learning_rate=") })
  }

  private static let yaml = """
    experiment: training
    seed: [1, 2]
    task: {id: induction, length: 8}
    model: {width: 8, layers: 1, heads: 2, key_heads: 1}
    training: {steps: 2, batch: 2, evaluate_every: 1, evaluation_batches: 1}
    """

  @Test(
    "an interrupted run goes on: rows, curves and checkpoints get today's ids, and no training is made twice")
  func goesOn() async throws {
    let scratch = try Scratch(), path = scratch("run")
    let preset = try Preset(yaml: Self.yaml, file: "small.yaml", catalog: .standard, kinds: .standard)
    #expect(try await preset.run(1, in: path) == [0, 1])
    let job = preset.trainings[0], former = try #require(job.formerIDs.first)
    // As an earlier version leaves it.
    for table in TrainingExperiment.tables.map({ "\(path)/\($0.name)" }) {
      let text = try String(contentsOfFile: table, encoding: .utf8)
      #expect(text.contains(job.id))
      let old = text.replacing(job.id, with: former).replacing("key_heads", with: "keyHeads")
      try Data(old.utf8).write(to: URL(fileURLWithPath: table))
    }
    // A folder is held as long as its value lives.
    #expect(try RunFolder(path).hasTraining(job))
    // A finished one stays as it was written.
    #expect(try await preset.run(1, in: path) == [1, 0])
    #expect(try String(contentsOfFile: path + "/runs.csv", encoding: .utf8).contains(former))
    let second = preset.trainings[1],
      checkpoint = "\(path)/\(try #require(second.formerIDs.first)).safetensors"
    let begun = try TrainingRun(second, catalog: .standard, threads: 1)
    _ = try begun.trainer.advance()
    try begun.trainer.save(to: checkpoint)
    #expect(try await preset.run(2, in: path) == [1, 1])
    for table in TrainingExperiment.tables.map(\.name) {
      let ids = Set(try CSVTable(contentsOf: "\(path)/\(table)").strings("run_id"))
      #expect(ids == Set(preset.trainings.map(\.id)), "\(table)")
    }
    // It went on after its first step.
    let steps = try CSVTable(contentsOf: path + "/steps.csv")
    let own = zip(try steps.strings("run_id"), try steps.strings("step")).filter { $0.0 == second.id }
    #expect(own.map(\.1) == ["2"])
    #expect(!FileManager.default.fileExists(atPath: checkpoint))
  }
}
