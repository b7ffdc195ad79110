import Attention
import AttentionCore
import Basics
import Layers
import Settings
import Tensors
import Testing
import Vision

@testable import Models
@testable import Training

/// A residual network as a model: its gradients, what it refuses, and that it learns.
@Suite struct ImageNetworkTests {
  static func configuration(_ changes: [String: ParameterValue] = [:]) throws -> ModelConfiguration {
    let settings: [String: ParameterValue] = [
      "kind": .string("cnn"), "features": .int(2), "classes": .int(3), "channels": .int(4), "stages": .int(2),
      "blocks": .int(1), "squeeze": .int(2), "vocabulary": .int(2), "maximum_length": .int(30),
    ]
    return try ModelConfiguration(settings: settings.merging(changes) { $1 }, in: .standard)
  }

  /// Images whose class is which third of their rows is bright.
  static func input(_ batch: Int = 6) throws -> ModelInput {
    let grid = Grid(height: 6, width: 5)
    var random = RandomKey(seed: 4).generator()
    var pixels: [Float] = []
    for image in 0..<batch {
      for place in 0..<grid.count {
        let bright = place / (2 * grid.width) == image % 3 ? 1.0 : 0
        pixels += [Float(bright + 0.3 * random.normal()), Float(random.normal())]
      }
    }
    var input = ModelInput(
      batch: batch, tokens: [Int32](repeating: 0, count: batch * grid.count),
      targets: (0..<batch).map { Int32($0 % 3) })
    input.features = FeatureRows(try Tensor(pixels, shape: [batch * grid.count, 2]))
    input.grid = grid
    return input
  }

  /// Dual attention curves too much for quotients in single precision; VisionTests judge its gradients in Double.
  @Test(
    "the loss changes along every parameter as its gradient says",
    arguments: ConvolutionalConfiguration.ChannelAttention.allCases.filter { $0 != .dual })
  func gradients(attention: ConvolutionalConfiguration.ChannelAttention) throws {
    let model = try TransformerModel(
      Self.configuration(["channel_attention": .string(attention.rawValue), "epsilon": .double(0.1)]),
      catalog: .standard)
    let input = try Self.input()
    model.clearGradients()
    _ = try model.accumulateGradients(input, key: RandomKey(seed: 1), training: false)
    let gradients = model.state.gradients.array()
    for slot in model.layout.slots {
      let drawn = try Tensor.normal([slot.count], key: RandomKey(seed: 2)(slot.name)).array()
      let length = drawn.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let expected =
        zip(drawn, gradients[slot.range]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } / Double(length)
      func loss(_ step: Float) throws -> Double {
        let before = model.state.weights
        defer { model.state.weights = before }
        for (index, d) in zip(slot.range, drawn) { model.state.weights[index] += step * d / length }
        return try model.loss(input).mean
      }
      let step: Float = 2e-3
      let found = try (loss(step) - loss(-step)) / Double(2 * step)
      #expect(abs(found - expected) < 0.02 * abs(expected) + 1e-3, "\(slot.name): \(found), \(expected)")
    }
  }

  @Test("it learns which part of an image is bright, and its running moments go with it")
  func learning() throws {
    let model = try TransformerModel(Self.configuration(), catalog: .standard)
    var training = TrainingConfiguration()
    (training.steps, training.learningRate, training.warmup) = (80, 1e-2, 0)
    let input = try Self.input(12), before = model.state.buffers
    let losses = try model.fit(input, training)
    #expect((losses.first ?? 0) > 0.7 && (losses.last ?? 1) < 0.2)
    #expect(model.state.buffers != before)
    #expect(try model.loss(input).accuracy > 0.9)
  }

  @Test("rows of an input take their pixels with them")
  func rows() throws {
    let model = try TransformerModel(Self.configuration(), catalog: .standard), input = try Self.input()
    let all = try model.logits(input), part = try model.logits(input.rows([4, 1]))
    #expect(part.row(0) == all.row(4) && part.row(1) == all.row(1))
  }

  @Test("its closed form of operations counts convolutions, gates and attention")
  func operations() throws {
    func total(_ attention: String) throws -> Double {
      try TransformerModel(
        Self.configuration(["channel_attention": .string(attention)]), catalog: .standard
      ).trainingOperations(Self.input())
    }
    // Stem, two units and the shortcut of the second: products forward, three times that with backward.
    let fine = 30, coarse = 9
    let products = fine * (9 * 2 * 4 + 2 * 9 * 4 * 4) + coarse * (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8)
    #expect(try total("none") == Double(6 * 6 * products))
    #expect(try total("dual") > total("none"))
  }

  @Test("settings that do not fit are refused in one line")
  func refusals() throws {
    func refusal(_ changes: [String: ParameterValue]) throws -> String {
      let error = #expect(throws: ConfigurationError.self) {
        try Self.configuration(changes).validate(in: .standard)
      }
      return "\(try #require(error))"
    }
    #expect(try refusal(["groups": .int(3)]).contains("a divisor of the 4 channels"))
    #expect(try refusal(["features": .int(0)]).contains("at least 1, with kind cnn"))
    #expect(try refusal(["classes": .int(0)]).contains("no classification"))
    #expect(try refusal(["attention": .string("lsh")]).contains("channel_attention"))
    #expect(try refusal(["stem_window": .int(2)]).contains("an odd number"))
    #expect(
      try refusal(["kind": .string("encoder"), "tied": .bool(false)]).contains("16 unless kind is cnn"))
    let model = try Self.configuration()
    var input = try Self.input()
    input.grid = nil
    #expect(throws: ConfigurationError.self) { try input.validate(for: model) }
    input.grid = Grid(height: 5, width: 5)
    #expect(throws: ConfigurationError.self) { try input.validate(for: model) }
    input = try Self.input()
    input.lengths = [30, 30, 30, 30, 30, 29]
    #expect(throws: ConfigurationError.self) { try input.validate(for: model) }
  }

  @Test("an image of one place and one channel is legal")
  func onePlace() throws {
    for attention in ConvolutionalConfiguration.ChannelAttention.allCases {
      let model = try TransformerModel(
        Self.configuration([
          "features": .int(1), "channels": .int(1), "stages": .int(3),
          "channel_attention": .string(attention.rawValue),
        ]), catalog: .standard)
      var input = ModelInput(batch: 1, tokens: [0], targets: [2])
      input.features = FeatureRows(try Tensor([0.7], shape: [1, 1]))
      input.grid = Grid(height: 1, width: 1)
      #expect(try model.logits(input).isFinite)
      model.clearGradients()
      _ = try model.accumulateGradients(input, key: RandomKey(seed: 1))
      #expect(model.state.gradients.isFinite)
    }
  }
}
