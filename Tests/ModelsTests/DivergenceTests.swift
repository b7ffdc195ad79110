import ArrayFiles
import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Mutation
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Trainings that leave the range of numbers, and checkpoints with numbers that none has.
@Suite struct DivergenceTests {
  @Test(
    "every number of a checkpoint's metadata at its extremes: a model or one line",
    .timeLimit(.minutes(BodyTime.hangLimit)))
  func extremeMetadata() throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 120) }
    let scratch = try Scratch(), path = scratch("m.safetensors")
    let trainer = try TrainerTests.trainer(["steps": .int(2)])
    _ = try trainer.advance()
    try trainer.save(to: path)
    let whole = try Safetensors(contentsOf: path)
    for (name, text) in whole.metadata where name.hasPrefix("model.") || name.hasPrefix("state.") {
      for (extreme, changed) in Mutator.everyNumberExtreme(in: text) {
        var file = whole
        file.metadata[name] = changed
        try file.write(to: path)
        do {
          let model = try TransformerModel(contentsOf: path, catalog: .standard)
          #expect(model.parameterCount < 10_000, "\(name) = \(extreme)")
        } catch { #expect(!"\(error)".contains("\n"), "\(name) = \(extreme): \(error)") }
        let other = try TrainerTests.trainer(["steps": .int(2)])
        do {
          try other.resume(from: path)
          _ = try other.advance()
        } catch { #expect(!"\(error)".contains("\n"), "\(name) = \(extreme): \(error)") }
      }
    }
  }

  @Test("moments that are no numbers are not resumed, and weights that are none are not saved")
  func brokenStates() throws {
    let scratch = try Scratch(), path = scratch("m.safetensors")
    let trainer = try TrainerTests.trainer(["steps": .int(4)])
    _ = try trainer.advance()
    try trainer.save(to: path)
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    trainer.model.state.weights[0] = .nan
    for save in [trainer.save(to:), trainer.model.save(to:)] {
      let error = #expect(throws: TrainingDiverged.self) { try save(path) }
      #expect(error?.what == "weights")
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
    #expect(throws: TrainingDiverged.self) { _ = try trainer.advance() }
    var file = try Safetensors(contentsOf: path)
    file.tensors["optimizer.first"]?[3] = .nan
    try file.write(to: path)
    let error = #expect(throws: SafetensorsError.self) {
      try TrainerTests.trainer(["steps": .int(4)]).resume(from: path)
    }
    #expect(error?.problem.contains("optimizer.first: element [3] is nan") == true)
  }

  @Test("a last step that leaves the range is no result")
  func lastStep() throws {
    let trainer = try TrainerTests.trainer([
      "steps": .int(1), "warmup": .int(0), "schedule": .string("constant"), "learning_rate": .double(1000),
      "optimizer": .string("sgd"), "clip": .double(0), "evaluate_every": .int(0),
    ])
    // Gradients of this size are still finite; the step that they make is not.
    for place in 0..<trainer.model.layout.count { trainer.model.state.weights[place] *= 1e18 }
    #expect(throws: TrainingDiverged.self) { while !trainer.isFinished { _ = try trainer.advance() } }
  }
}
