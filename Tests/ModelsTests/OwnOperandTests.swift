import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models

/// A variant from outside the package that declares a learned vector and a projected feature: the layer's parameters, decoding
/// and swaps follow from the declaration. `GradientTests` has its gradients.
@Suite struct OwnOperandTests {
  static let catalog = Catalog.standard + [KeyBiasAttention.self]

  static func model(_ changes: [String: ParameterValue]) throws -> TransformerModel {
    let base: [String: ParameterValue] = [
      "vocabulary": .int(11), "width": .int(12), "heads": .int(2), "layers": .int(2), "hidden": .int(10),
      "key_heads": .int(1), "maximum_length": .int(40),
    ]
    let model = try TransformerModel(
      ModelConfiguration(settings: base.merging(changes) { $1 }, in: catalog), catalog: catalog,
      context: .recycling(threads: 1))
    let noise = try Tensor.normal([model.layout.count], key: RandomKey(seed: 3), standardDeviation: 0.2)
    model.context.accumulate(noise, into: &model.state.weights)
    return model
  }

  @Test func parametersAreNamedByTheDeclaration() throws {
    let plain = try Self.model([:])
    let own = try Self.model(["attention": .string("key-bias(width=3), full")])
    let names = own.layout.slots.filter { slot in !plain.layout.slots.contains { $0.name == slot.name } }
    let prefix = "decoder.layers.0.attention."
    #expect(names.map(\.name) == ["feature.weight", "feature.bias", "bias_weight"].map { prefix + $0 })
    // One key head of 3 from a width of 12; 3 for each of two heads.
    #expect(names.map(\.shape) == [[3, 12], [3], [2, 3]])
    #expect(own.layout.slots.first { $0.name == prefix + "bias_weight" }?.decays == false)
  }

  @Test(arguments: ["key-bias, full", "key-bias(width=2)"], ["rope", "alibi"])
  func aDecoderKeepsTheirRows(_ attention: String, _ position: String) throws {
    let model = try Self.model(["attention": .string(attention), "position": .string(position)])
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 5))
    let cached = try model.generate(prompt: [1, 2, 3], count: 25, sampling: sampling)
    let whole = try model.generate(prompt: [1, 2, 3], count: 25, sampling: sampling, useCache: false)
    #expect(cached.usedCache && cached.tokens == whole.tokens)
    #expect(Set(cached.tokens).count > 3)
  }

  @Test func aSwapStartsWhatTheOtherModelLacks() throws {
    let full = try Self.model([:])
    let input = ModelInput(batch: 2, tokens: (0..<20).map { Int32($0 * 3 % 11) })
    let swapped = try full.replacingAttention("key-bias")
    // The learned vector starts at 0, and so does the bias.
    let gaps = zip(try swapped.logits(input).array(), try full.logits(input).array()).map { abs($0 - $1) }
    #expect(gaps.max() ?? 1 < 1e-4)
    let back = try swapped.replacingAttention("full")
    #expect(back.state.weights.array() == full.state.weights.array())
  }
}
