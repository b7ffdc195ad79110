import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Training learns, resumes to the same bits, stops early, and allocates nothing once it runs.
@Suite struct TrainerTests {
  static func trainer(
    _ training: [String: ParameterValue], model: [String: ParameterValue] = [:], task: String = "induction",
    settings: [String: ParameterValue] = ["length": .int(8), "vocabulary": .int(6)], threads: Int = 1
  ) throws -> Trainer {
    let source = try TaskCatalog.sequences.make(task, settings: settings, key: RandomKey(seed: 5))
    let base: [String: ParameterValue] = [
      "width": .int(16), "layers": .int(1), "heads": .int(2), "hidden": .int(16),
    ]
    let configuration = Trainer.fit(
      try ModelConfiguration(settings: base.merging(model) { $1 }, in: .standard), to: source)
    return try Trainer(
      model: TransformerModel(configuration, catalog: .standard, context: .recycling(threads: threads)),
      task: source,
      configuration: TrainingConfiguration(
        settings: [
          "batch": .int(4), "steps": .int(12), "warmup": .int(2), "evaluate_every": .int(4),
          "evaluation_batches": .int(1),
        ].merging(training) { $1 }))
  }

  @Test(arguments: ["adamw", "sgd"], ["layer", "batch"])
  func resumedRunEqualsAnUninterruptedOne(_ optimizer: String, _ norm: String) throws {
    let settings: [String: ParameterValue] = ["optimizer": .string(optimizer), "accumulation": .int(2)]
    let model: [String: ParameterValue] = ["dropout": .double(0.1), "norm": .string(norm)]
    let run = try ResumedTraining { try Self.trainer(settings, model: model) }
    let (whole, second) = (run.whole, run.second)
    #expect(second.step == 5)
    try run.finish()
    #expect(second.model.state.buffers == whole.model.state.buffers)
    #expect(second.optimizer.first.array() == whole.optimizer.first.array())
    #expect(second.evaluations == whole.evaluations)
    #expect(second.tokens == whole.tokens)
  }

  @Test func aCheckpointOfAnotherRunIsRefused() throws {
    let scratch = try Scratch(), path = scratch("checkpoint.safetensors")
    try Self.trainer([:]).save(to: path)
    let other = try Self.trainer(["learning_rate": .double(0.5)])
    let before = other.model.state.weights.array()
    let error = #expect(throws: SafetensorsError.self) { try other.resume(from: path) }
    #expect(error?.problem == "the checkpoint has training.learning_rate = 0.001; this run has 0.5")
    #expect(other.model.state.weights.array() == before)
    let model = try TransformerModel(contentsOf: path, catalog: .standard)
    #expect(model.configuration == other.model.configuration)
  }

  @Test func learnsInduction() throws {
    let trainer = try Self.trainer(
      ["steps": .int(60), "learning_rate": .double(0.01), "batch": .int(8), "evaluate_every": .int(0)],
      task: "copying", settings: ["tokens": .int(2), "blanks": .int(2), "vocabulary": .int(6)])
    let start = try trainer.evaluate(.validation, batches: 1).mean
    while !trainer.isFinished { _ = try trainer.advance() }
    #expect(trainer.evaluations.count == 1)
    #expect(trainer.bestLoss < 0.8 * start, "from \(start) to \(trainer.bestLoss)")
  }

  @Test func seedsReadBatchesOfTheirOwn() {
    let seeds = [0, 1, 4095, 4096, 4097, 5000, 8192, 8193, 65_536, 1_000_003]
    let firsts = seeds.map(Trainer.firstBatch).sorted()
    for (a, b) in zip(firsts, firsts.dropFirst()) { #expect(b - a >= 1 << 24) }
    #expect(Trainer.firstBatch(seed: 7) == 7 << 32)
    #expect(Trainer.firstBatch(seed: .max).multipliedReportingOverflow(by: 65_536).overflow == false)
  }

  @Test func stopsEarly() throws {
    let trainer = try Self.trainer([
      "learning_rate": .double(0), "evaluate_every": .int(1), "patience": .int(3),
    ])
    while !trainer.isFinished { _ = try trainer.advance() }
    #expect(trainer.step == 4)
  }

  @Test func divergenceIsAnError() throws {
    let trainer = try Self.trainer([
      "learning_rate": .double(1000), "optimizer": .string("sgd"), "clip": .double(0),
      "warmup": .int(0), "steps": .int(200), "evaluate_every": .int(0),
    ])
    #expect(throws: TrainingDiverged.self) { while !trainer.isFinished { _ = try trainer.advance() } }
  }

  @Test func aStepAllocatesNothingAfterTheFirst() throws {
    let trainer = try Self.trainer(["evaluate_every": .int(0)], threads: 2)
    for _ in 0..<2 { _ = try trainer.advance() }
    let before = trainer.model.context.ledger?.systemAllocations
    for _ in 0..<4 { _ = try trainer.advance() }
    #expect(trainer.model.context.ledger?.systemAllocations == before)
  }

  @Test func bitsDoNotDependOnThreads() throws {
    let results = try [1, 2].map { threads in
      let trainer = try Self.trainer(["steps": .int(3)], threads: threads)
      while !trainer.isFinished { _ = try trainer.advance() }
      return trainer.model.state.weights.array()
    }
    #expect(results[0] == results[1])
  }

  @Test func tasksAndModelsThatDoNotFitAreRefused() throws {
    let task = try TaskCatalog.sequences.make("reversal", settings: [:], key: RandomKey(seed: 1))
    let model = try TransformerModel(ModelConfiguration(), catalog: .standard)
    let error = #expect(throws: ConfigurationError.self) {
      try Trainer(model: model, task: task, configuration: TrainingConfiguration())
    }
    #expect(
      error?.description == "kind: decoder is not allowed; it takes encoder-decoder for the task reversal")
  }
}
