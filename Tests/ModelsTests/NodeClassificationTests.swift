import Attention
import AttentionCore
import Basics
import Layers
import Settings
import Tasks
import Tensors
import Testing

@testable import Models
@testable import Training

/// A model over the nodes of a graph: its gradients, and that it learns from the neighbours what features alone do not say.
@Suite struct NodeClassificationTests {
  static let task: [String: ParameterValue] = [
    "nodes": .int(200), "classes": .int(3), "features": .int(6), "signal": .double(0.7),
    "homophily": .double(0.95), "train": .double(0.3),
  ]

  private func model(_ attention: String, _ task: any SequenceTask) throws -> TransformerModel {
    let configuration = try ModelConfiguration(
      settings: [
        "kind": .string("encoder"), "tied": .bool(false), "position": .string("none"), "width": .int(16),
        "heads": .int(2), "layers": .int(2), "hidden": .int(16), "attention": .string(attention),
      ], in: .standard)
    return try TransformerModel(Trainer.fit(configuration, to: task), catalog: .standard)
  }

  @Test(
    "gradients are difference quotients of the loss",
    arguments: [
      "score=dot", "score=additive", "score=dot, output=concat, shared_map=true", "score=dot, output=mean",
      "score=dot, message=key, output=mean, shared_map=true",
    ])
  func gradients(settings: String) throws {
    let task = try TaskCatalog.sequences.make("block-graph", settings: Self.task, key: RandomKey(seed: 1))
    let model = try model("graph(\(settings))", task)
    let input = ModelInput(try task.batch(split: .train, index: 0, batchSize: 1))
    model.clearGradients()
    _ = try model.accumulateGradients(input, key: RandomKey(seed: 1), training: false)
    let gradients = model.state.gradients.array()
    for slot in model.layout.slots {
      let drawn = try Tensor.normal([slot.count], key: RandomKey(seed: 2)(slot.name)).array()
      let length = drawn.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let direction = drawn.map { $0 / length }
      let expected = zip(direction, gradients[slot.range]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      func loss(_ step: Float) throws -> Double {
        let before = model.state.weights
        defer { model.state.weights = before }
        for (index, d) in zip(slot.range, direction) { model.state.weights[index] += step * d }
        return try model.loss(input).mean
      }
      let step: Float = 4e-3
      let near = try loss(step) - loss(-step), far = try loss(2 * step) - loss(-2 * step)
      // Fourth-order central difference.
      let found = (8 * near - far) / Double(12 * step)
      #expect(abs(found - expected) < 0.01 * abs(expected) + 4e-4, "\(slot.name): \(found), \(expected)")
    }
  }

  @Test("neighbours tell what features alone do not")
  func learns() throws {
    let task = try TaskCatalog.sequences.make("block-graph", settings: Self.task, key: RandomKey(seed: 1))
    func accuracy(_ attention: String) throws -> Double {
      let training = try TrainingConfiguration(settings: [
        "steps": .int(60), "batch": .int(1), "learning_rate": .double(1e-2), "evaluate_every": .int(0),
      ])
      let trainer = try Trainer(model: try model(attention, task), task: task, configuration: training)
      while !trainer.isFinished { _ = try trainer.advance() }
      return try trainer.evaluate(.test, batches: 8).accuracy
    }
    let withEdges = try accuracy("graph"), alone = try accuracy("sliding-window(left=0, right=0)")
    #expect(withEdges > 0.85, "\(withEdges)")
    #expect(alone < withEdges - 0.1, "\(alone) without edges, \(withEdges) with them")
  }

  @Test("the cost of a training step is that of the graph that is read")
  func cost() throws {
    func operations(_ degree: Int) throws -> Double {
      let task = try TaskCatalog.sequences.make(
        "block-graph", settings: Self.task.merging(["degree": .int(degree)]) { $1 }, key: RandomKey(seed: 1))
      return try model("graph(score=dot, self_loops=false)", task).trainingOperations(
        ModelInput(try task.batch(split: .train, index: 0, batchSize: 1)))
    }
    // Two layers; twenty more edges a node, forward 2·(d + d) a head, backward 2·(3d + 2d), d = 8, two heads.
    let perEdge = 2.0 * 2 * (2 * 16 + 2 * 40)
    #expect(try operations(30) - operations(10) == perEdge * 200 * 20)
  }

  @Test func aBatchOfSeveralGraphsIsRefused() throws {
    let task = try TaskCatalog.sequences.make("block-graph", settings: Self.task, key: RandomKey(seed: 1))
    let model = try model("graph", task)
    #expect {
      try Trainer(model: model, task: task, configuration: TrainingConfiguration())
    } throws: {
      "\($0)".contains("batch: 16")
    }
  }
}
