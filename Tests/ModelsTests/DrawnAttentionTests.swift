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

/// Models whose attention draws in training and learns by the loss.
@Suite struct DrawnAttentionTests {
  static func model(_ attention: String = "hard(gradient=reinforce)") throws -> TransformerModel {
    var settings = GenerationTests.base
    settings["attention"] = .string(attention)
    return try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
  }

  static let input = ModelInput(
    batch: 2, tokens: [1, 2, 3, 4, 5, 6], targets: [2, 3, -1, 5, 6, 1])

  /// Both draws that a row of two keys has: how likely each is, and a key of a pass that makes it.
  struct Choice {
    var first: Double, keys: (first: RandomKey, second: RandomKey)

    /// The loss alone tells which key was taken: the border is searched among draws in their order.
    init(
      _ model: TransformerModel, _ input: ModelInput, _ drawn: [(number: Float, key: RandomKey)]
    ) throws {
      func loss(_ place: Int) throws -> Double {
        try model.accumulateGradients(input, key: drawn[place].key).sum
      }
      let low = try loss(0)
      var (inside, outside) = (0, drawn.count - 1)
      while outside - inside > 1 {
        let middle = (inside + outside) / 2
        if try loss(middle) == low { inside = middle } else { outside = middle }
      }
      first = Double(drawn[inside].number + drawn[outside].number) / 2
      keys = (drawn[0].key, drawn[drawn.count - 1].key)
    }
  }

  @Test(
    "over both draws of a row, the mean gradient of what makes queries and keys is the slope of the mean loss"
  )
  func slope() throws {
    var settings = GenerationTests.base
    settings.merge(
      ["attention": .string("hard(gradient=reinforce)"), "layers": .int(1), "heads": .int(1)]) { $1 }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    let input = ModelInput(batch: 1, tokens: [3, 8], targets: [-1, 5]), name = "decoder.layers.0.attention"
    let slots = model.layout.slots.filter {
      $0.name == "\(name).query.weight" || $0.name == "\(name).key.weight"
    }
    let drawn = (0..<1 << 16).map { number in
      let key = RandomKey(seed: 7)(number)
      var generator = key("\(name).draws").generator()
      _ = generator.uniform()
      return (number: Float(generator.uniform()), key: key)
    }.sorted { $0.number < $1.number }
    let places = slots.flatMap(\.range)
    let direction = try Tensor.normal([places.count], key: RandomKey(seed: 3)).array()
    let start = model.state.weights.array()
    model.state.expectedLoss = 1.3

    let choice = try Choice(model, input, drawn)
    var found = 0.0
    for (weight, key) in [(choice.first, choice.keys.first), (1 - choice.first, choice.keys.second)] {
      model.clearGradients()
      _ = try model.accumulateGradients(input, key: key)
      let gradient = model.state.gradients.array()
      found += weight * zip(places, direction).reduce(0) { $0 + Double(gradient[$1.0]) * Double($1.1) }
    }
    func meanLoss(_ step: Float) throws -> Double {
      var moved = start
      for (place, d) in zip(places, direction) { moved[place] += step * d }
      model.state.weights = try Tensor(moved, shape: model.state.weights.shape)
      let choice = try Choice(model, input, drawn)
      let losses = try [choice.keys.first, choice.keys.second].map {
        try model.accumulateGradients(input, key: $0).sum
      }
      return choice.first * losses[0] + (1 - choice.first) * losses[1]
    }
    let step: Float = 0.03
    func change(_ step: Float) throws -> Double { try meanLoss(step) - meanLoss(-step) }
    let expected = (8 * (try change(step)) - (try change(2 * step))) / Double(12 * step)
    // The border between the draws is known to some 2⁻¹⁶.
    #expect(abs(found - expected) < 0.005 * abs(expected), "\(found), \(expected)")
    #expect(abs(expected) > 0.02, "\(expected): a slope that says nothing")
  }

  @Test("an evaluation draws nothing; each pass of a training draws anew, and the same pass the same")
  func passes() throws {
    let model = try Self.model()
    let first = try model.loss(Self.input)
    #expect(first == (try model.loss(Self.input)))
    let all = try (0..<8).map { try model.accumulateGradients(Self.input, key: RandomKey(seed: 1)($0)).sum }
    #expect(Set(all).count > 1)
    #expect(all[3] == (try model.accumulateGradients(Self.input, key: RandomKey(seed: 1)(3)).sum))
    model.clearGradients()
    _ = try model.accumulateGradients(Self.input, key: RandomKey(seed: 1), training: false)
    let slot = try #require(model.layout.slots.first { $0.name.hasSuffix("layers.0.attention.query.weight") })
    #expect(slot.range.allSatisfy { model.state.gradients.array()[$0] == 0 })
  }

  @Test(
    "a resumed training has the bits of an uninterrupted one: the average that losses are compared with is in the file"
  )
  func resumed() throws {
    let settings: [String: ParameterValue] = ["gradient_sum": .string("rows")]
    let model: [String: ParameterValue] = ["attention": .string("hard(gradient=reinforce, entropy=0.01)")]
    let run = try ResumedTraining { try TrainerTests.trainer(settings, model: model) }
    let (first, second) = (run.first, run.second)
    #expect(second.optimizer.averageLoss == first.optimizer.averageLoss && first.optimizer.averageLoss != nil)
    try run.finish()
  }
}
