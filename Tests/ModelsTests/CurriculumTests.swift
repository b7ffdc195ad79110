import ArrayFiles
import Attention
import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Stages of a training: other lengths, batches and attention in the first steps, the same weights, moments and schedule.
@Suite struct CurriculumTests {
  private static func task(_ length: Int) throws -> any SequenceTask {
    try TaskCatalog.sequences.make(
      "induction", settings: ["length": .int(length), "vocabulary": .int(6)], key: RandomKey(seed: 5))
  }

  private static func trainer(
    _ curriculum: String, steps: Int = 12, attention: String = "full", accumulation: Int = 1,
    training: [String: ParameterValue] = [:]
  ) throws -> Trainer {
    let task = try task(8)
    let model = try TransformerModel(
      Trainer.fit(
        ModelConfiguration(
          settings: [
            "width": .int(16), "layers": .int(1), "heads": .int(2), "hidden": .int(16),
            "attention": .string(attention),
          ], in: .standard), to: task), catalog: .standard, context: .recycling(threads: 1))
    let stages = try Curriculum(curriculum).stages.map { stage in
      guard case .int(let length)? = stage.task["length"] ?? .int(8) else { throw Failure() }
      return try TrainingStage(stage, task: try Self.task(length), of: model)
    }
    return try Trainer(
      model: model, task: task, stages: stages,
      configuration: TrainingConfiguration(
        settings: [
          "batch": .int(4), "steps": .int(steps), "warmup": .int(2), "evaluate_every": .int(4),
          "evaluation_batches": .int(2), "curriculum": .string(curriculum),
          "accumulation": .int(accumulation),
        ].merging(training) { $1 }))
  }
  private struct Failure: Error {}

  @Test(
    "a training that was stopped within a stage, or behind it, goes on to the same bits",
    arguments: [2, 3, 5, 8])
  func resumes(_ steps: Int) throws {
    let run = try ResumedTraining(after: steps) {
      try Self.trainer(
        "stage(steps=3, length=4, batch=6), stage(steps=4, attention=\"dsa(keys=64)\")",
        attention: "dsa(keys=2)")
    }
    try run.finish()
    #expect(run.second.tokens == run.whole.tokens && run.second.evaluations == run.whole.evaluations)
    let tokens = 3 * 6 * 4 + 9 * 4 * 8
    #expect(run.whole.tokens == tokens)
  }

  @Test("each step learns from the rows, the batch and the attention of its stage, and from no rows twice")
  func steps() throws {
    let line =
      "stage(steps=2, length=4, batch=6), stage(steps=1, attention=\"sliding-window(left=1, right=0)\")"
    let trainer = try Self.trainer(line, steps: 5, accumulation: 2)
    let plain = try Self.trainer("", steps: 5, accumulation: 2)
    let readers = (1...5).map { trainer.reader(ofStep: $0) }
    #expect(readers.map { $0.configuration.batch } == [6, 6, 4, 4, 4])
    #expect(readers.map(\.task.length) == [4, 4, 8, 8, 8])
    #expect(
      readers.map(\.model.configuration.attention) == [
        "full", "full", "sliding-window(left=1, right=0)", "full", "full",
      ])
    #expect(Set(readers.map { $0.place(.train, index: 0) }).count == 3)
    #expect(readers[4].place(.train, index: 8) == plain.reader(ofStep: 5).place(.train, index: 8))
    #expect(readers.allSatisfy { $0.place(.validation, index: 1) == 1 })
    var gradients: [Double] = []
    for step in 1...5 {
      let reader = trainer.reader(ofStep: step)
      // What the step learns from, by hand: the model of the stage with the weights as they are.
      trainer.exchangeWeights(with: reader.model)
      reader.model.clearGradients()
      var loss = CrossEntropy()
      for pass in 0..<2 {
        let number = (step - 1) * 2 + pass
        loss =
          loss
          + (try reader.model.accumulateGradients(
            try reader.input(.train, index: number), factor: 0.5,
            key: RandomKey(seed: 1)("dropout")(number)))
      }
      trainer.exchangeWeights(with: reader.model)
      let report = try trainer.advance()
      #expect(report.loss == loss.mean, "step \(step)")
      #expect(report.tokens == (step < 3 ? 2 * 6 * 4 : 2 * 4 * 8))
      gradients.append(report.gradientNorm)
    }
    #expect(Set(gradients).count == 5)
    #expect(trainer.evaluations.map(\.step) == [4, 5])
    // Evaluations are of the task and the attention that the training ends with.
    #expect(try trainer.evaluate(.validation, batches: 2).mean == trainer.evaluations[1].validationLoss)
  }

  @Test("an empty curriculum changes no bit")
  func none() throws {
    let plain = try Self.trainer(""), other = try TrainerTests.trainer(["evaluation_batches": .int(2)])
    while !plain.isFinished { #expect(try plain.advance() == other.advance()) }
    #expect(plain.model.state.weights.array() == other.model.state.weights.array())
  }

  @Test(
    "what cannot be learned in stages is refused in one line",
    arguments: [
      ("stage(length=4)", "steps=… in every stage"),
      ("stage(steps=0)", "a whole number from 1 to 1048576"),
      ("stage(steps=2, batch=0.5)", "a whole number from 1 to 65536"),
      (
        "lesson(steps=2)",
        "a list such as: stage(steps=500, length=64), stage(steps=300, length=256, batch=8)"
      ),
      ("stage(steps=2", "a list such as: stage(steps=500, length=64), stage(steps=300, length=256, batch=8)"),
      ("stage(steps=12)", "fewer than 12 steps in all stages: training.steps counts them, too"),
      ("stage(steps=2, attention=gated-delta)", "attention with the same parameters as full"),
      (Array(repeating: "stage(steps=1)", count: 16).joined(separator: ", "), "at most 15"),
    ])
  func refusals(_ line: String, _ allowed: String) throws {
    let error = #expect(throws: ConfigurationError.self) { try Self.trainer(line) }
    #expect(error?.field == "curriculum" && error?.allowed == allowed, "\(String(describing: error))")
  }

  @Test("stages are refused where ranks share every sequence")
  func parts() throws {
    let error = #expect(throws: ConfigurationError.self) {
      try Self.trainer("stage(steps=2)", training: ["gradient_sum": .string("parts")])
    }
    #expect(error?.field == "curriculum")
  }

  @Test("a checkpoint of another curriculum is refused")
  func other() throws {
    let scratch = try Scratch(), path = scratch("checkpoint.safetensors")
    let trainer = try Self.trainer("stage(steps=3, length=4)")
    _ = try trainer.advance()
    try trainer.save(to: path)
    let error = #expect(throws: SafetensorsError.self) { try Self.trainer("").resume(from: path) }
    #expect(error?.problem.contains("training.curriculum = stage(steps=3, length=4)") == true)
  }
}
