import Attention
import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models

/// Finite differences for every layer: along a random direction of each parameter, the loss changes as its gradient says.
@Suite struct GradientTests {
  static let tiny: [String: ParameterValue] = [
    "vocabulary": .int(11), "width": .int(12), "layers": .int(2), "heads": .int(2), "hidden": .int(10),
    "maximum_length": .int(8), "seed": .int(3),
  ]

  static func configuration(_ changes: [String: ParameterValue]) throws -> ModelConfiguration {
    var settings = tiny
    if changes["hierarchy"] != nil {
      settings.merge(["kind": .string("encoder"), "classes": .int(4)]) { $1 }
    }
    return try ModelConfiguration(settings: settings.merging(changes) { $1 }, in: .standard)
  }

  static func input(_ configuration: ModelConfiguration, batch: Int = 3, length: Int = 7) -> ModelInput {
    var random = RandomKey(seed: 9).generator()
    func tokens(_ count: Int) -> [Int32] {
      (0..<count).map { _ in Int32(random.integer(below: configuration.vocabulary)) }
    }
    var input = ModelInput(batch: batch, tokens: tokens(batch * length))
    input.targets =
      configuration.classes > 0
      ? (0..<batch).map { Int32($0 % configuration.classes) }
      : (0..<batch * length).map { $0 % 4 == 1 ? -100 : Int32(($0 * 5) % configuration.vocabulary) }
    if configuration.kind.hasSource {
      input.source = tokens(batch * 5)
      input.sourceLengths = [5, 3, 4]
    }
    if configuration.kind.isBidirectional { input.lengths = [7, 4, 6] }
    return input
  }

  static let cases: [[String: ParameterValue]] = [
    // All experts are asked: where few are, a step along a direction may change which (LayersTests/MixtureTests).
    [
      "feed_forward": .string("swiglu"), "bias": .bool(false),
      "experts": .string(
        "routed(experts=3, chosen=3, hidden=5, shared=4, shared_gate=true), "
          + "routed(experts=3, chosen=3, scores=sigmoid, correction=true, factor=1.5)"),
    ],
    [
      "feed_forward": .string("swiglu"), "attention": .string("full(sink=learned)"), "dropout": .double(0.2),
      "experts": .string(
        "dense, routed(experts=3, chosen=3, scores=softmax-chosen, clamp=0.4, router_bias=true, bias=true)"),
    ],
    [
      "attention": .string("gated-delta, full"), "short_convolution": .int(3), "output_gate": .string("silu"),
      "recurrent_heads": .int(4), "recurrent_groups": .int(2), "recurrent_key_width": .int(3),
      "recurrent_value_width": .int(5), "attention_gate": .string("sigmoid"),
      "rotary": .string("none, plain(share=0.4)"),
      "head_width": .int(5), "head_norm": .bool(true), "bias": .bool(false), "norm": .string("rms"),
    ],
    [
      "attention": .string("mamba2"), "short_convolution": .int(3), "output_gate": .string("silu-first"),
      "recurrent_heads": .int(4), "recurrent_groups": .int(2), "recurrent_key_width": .int(5),
      "recurrent_value_width": .int(3), "feed_forward": .string("none"), "bias": .bool(false),
      "convolution_bias": .string("yes"), "position": .string("none"),
    ],
    [
      "latent": .int(4), "value_width": .int(3), "latent_epsilon": .double(0.01),
      "attention": .string("full, kda"),
      "recurrent_heads": .int(3), "recurrent_key_width": .int(4), "rotary": .string("none"),
      "query_latent": .int(5),
    ],
    [
      "head_width": .int(4), "key_heads": .int(1), "head_norm": .bool(true), "norm": .string("rms"),
      "rotary": .string("yarn(factor=4, original_length=8, base=100, share=0.5), none"), "heads": .int(4),
      "residual": .string("sandwich"), "feed_forward": .string("geglu-tanh"), "logit_softcap": .double(2),
      "attention_scale": .double(0.3), "attention_bias": .string("inputs"), "bias": .bool(false),
    ],
    [
      "head_norm": .bool(true), "head_width": .int(2), "position": .string("alibi"),
      "feed_forward": .string("geglu"),
      "attention_bias": .string("all"), "bias": .bool(false), "dropout": .double(0.2),
      "residual": .string("sandwich"),
    ],
    [
      "position": .string("rope-interleaved"),
      "rotary": .string("dynamic(factor=3, original_length=3), llama3(factor=2)"),
      "residual": .string("post"), "head_norm": .bool(true), "tied": .bool(false),
      "logit_softcap": .double(1),
    ],
    ["attention": .string("key-bias(width=3), full")],
    [
      "attention": .string("gated-delta, kda"), "short_convolution": .int(4), "output_gate": .string("silu"),
      "position": .string("none"),
    ],
    [
      "attention": .string("mamba2, full"), "short_convolution": .int(3),
      "output_gate": .string("silu-first"),
      "bias": .bool(false), "key_heads": .int(1),
    ],
    ["attention": .string("gla, kda"), "output_gate": .string("sigmoid"), "residual": .string("reversible")],
    ["latent": .int(4), "attention": .string("full(sink=learned), sliding-window(left=2)")],
    [
      "latent": .int(5), "query_latent": .int(3), "rope_width": .int(4),
      "position": .string("rope-interleaved"),
      "norm": .string("rms"), "bias": .bool(false), "dropout": .double(0.2),
    ],
    [
      "latent": .int(4), "query_latent": .int(5), "kind": .string("encoder-decoder"),
      "encoder_layers": .int(1), "position": .string("t5"), "residual": .string("reversible"),
    ],
    ["latent": .int(3), "kind": .string("encoder"), "classes": .int(4), "residual": .string("post")],
    ["position": .string("t5"), "attention": .string("sliding-window(left=3, sinks=1), full")],
    ["position": .string("t5"), "kind": .string("encoder"), "classes": .int(4), "key_heads": .int(1)],
    ["attention": .string("full(score=relative)"), "position": .string("none")],
    ["attention": .string("luong(score=general, align=local-p, window=3), luong(align=local-m, window=2)")],
    [
      "attention": .string("key-bias"), "position": .string("alibi"), "key_heads": .int(1),
      "bias": .bool(false),
    ],
    [:],
    [
      "position": .string("sinusoidal"), "norm": .string("rms"), "feed_forward": .string("swiglu"),
      "key_heads": .int(1),
    ],
    [
      "position": .string("learned"), "residual": .string("post"), "feed_forward": .string("relu"),
      "tied": .bool(false),
    ],
    ["position": .string("rope-interleaved"), "feed_forward": .string("gelu-tanh"), "bias": .bool(false)],
    ["position": .string("alibi"), "scale_embedding": .bool(false)],
    ["position": .string("none"), "norm": .string("batch")],
    ["kind": .string("encoder"), "classes": .int(4), "position": .string("learned")],
    [
      "kind": .string("encoder"), "residual": .string("post"), "embedding_norm": .bool(true),
      "token_types": .int(2),
      "position": .string("learned"),
    ],
    ["kind": .string("encoder-decoder"), "encoder_layers": .int(1), "position": .string("sinusoidal")],
    ["attention": .string("sliding-window(left=2), full"), "dropout": .double(0.2)],
    ["residual": .string("reversible"), "dropout": .double(0.2), "position": .string("learned")],
    [
      "residual": .string("reversible"), "reversible_output": .string("concat"), "tied": .bool(false),
      "norm": .string("rms"), "feed_forward": .string("swiglu"), "feed_forward_chunk": .int(4),
    ],
    [
      "residual": .string("reversible"), "reversible_output": .string("concat"), "kind": .string("encoder"),
      "classes": .int(4), "norm": .string("batch"), "position": .string("learned"),
    ],
    [
      "residual": .string("reversible"), "reversible_output": .string("concat"), "tied": .bool(false),
      "kind": .string("encoder-decoder"), "encoder_layers": .int(1), "position": .string("sinusoidal"),
    ],
    ["feed_forward_chunk": .int(5), "feed_forward": .string("relu")],
    [
      "attention": .string("local-global(left=2, global_tokens=3)"),
      "global_projections": .string("separate"),
    ],
    [
      "attention": .string("local-global(left=1, global_tokens=0, global_positions=[1 4])"),
      "global_projections": .string("separate"), "position": .string("alibi"), "key_heads": .int(1),
      "dropout": .double(0.2),
    ],
    [
      "attention": .string("local-global(left=1, right=1, global_positions=[3])"), "kind": .string("encoder"),
      "global_projections": .string("separate"), "classes": .int(4), "key_heads": .int(1),
      "bias": .bool(false),
    ],
    [
      "attention": .string("local-global(left=1, right=1), full"), "kind": .string("encoder-decoder"),
      "global_projections": .string("separate"), "encoder_layers": .int(1), "position": .string("sinusoidal"),
    ],
    [
      "hierarchy": .string("han"), "segment_length": .int(3), "separator": .int(2),
      "position": .string("learned"),
    ],
    [
      "hierarchy": .string("han"), "han_encoder": .string("blocks"), "segment_length": .int(2),
      "segment_layers": .int(1), "position": .string("rope"), "dropout": .double(0.2),
    ],
    [
      "hierarchy": .string("hat"), "segment_length": .int(3), "position": .string("learned"),
      "pooling": .string("segments"), "embedding_norm": .bool(true),
    ],
    [
      "hierarchy": .string("hat"), "segment_length": .int(2), "segment_layers": .int(1),
      "residual": .string("post"),
      "position": .string("sinusoidal"), "pooling": .string("attention"), "dropout": .double(0.2),
      "attention": .string("sliding-window(left=1, right=1), full"),
    ],
    [
      "hierarchy": .string("hat"), "separator": .int(4), "classes": .int(0), "position": .string("none"),
      "norm": .string("batch"), "tied": .bool(false),
    ],
    ["kind": .string("encoder"), "classes": .int(4), "pooling": .string("first")],
    ["kind": .string("pair"), "classes": .int(4), "position": .string("learned")],
    [
      "kind": .string("pair"), "classes": .int(4), "co_attention": .string("alternating"),
      "encoder_layers": .int(1),
      "dropout": .double(0.2),
    ],
    [
      "kind": .string("pair"), "classes": .int(4), "co_attention": .string("mean"),
      "residual": .string("post"),
    ],
    [
      "kind": .string("encoder"), "classes": .int(4), "pooling": .string("attention"), "norm": .string("rms"),
    ],
  ]

  @Test(arguments: cases)
  func finiteDifferences(_ changes: [String: ParameterValue]) throws {
    let configuration = try Self.configuration(changes)
    let model = try TransformerModel(
      configuration, catalog: .standard + [KeyBiasAttention.self], context: .recycling(threads: 1))
    let input = Self.input(configuration)
    let key = RandomKey(seed: 21)
    func loss() throws -> Double {
      // A pass in training mode: the same key gives the same dropout.
      try model.accumulateGradients(input, smoothing: 0.1, key: key).mean
    }
    // Norm gains and biases start at constants that could hide an error: move everything off its start.
    let noise = try Tensor.normal([model.layout.count], key: key("noise"), standardDeviation: 0.1)
    model.context.accumulate(noise, into: &model.state.weights)
    model.clearGradients()
    _ = try loss()
    let gradients = model.state.gradients.array()
    let weights = model.state.weights.array()
    for slot in model.layout.slots {
      let part = gradients[slot.range].map(Double.init)
      let norm = part.map { $0 * $0 }.reduce(0, +).squareRoot()
      // Half along the gradient, half at random: a wrong sign or scale of any element shows.
      var random = key("direction")(slot.name).generator()
      var direction = part.map {
        (norm > 0 ? $0 / norm : 0) + 0.5 * random.normal() / Double(slot.count).squareRoot()
      }
      let size = direction.map { $0 * $0 }.reduce(0, +).squareRoot()
      direction = direction.map { $0 / size }
      func moved(_ step: Double) throws -> Double {
        var changed = weights
        for (place, index) in slot.range.enumerated() { changed[index] += Float(step * direction[place]) }
        model.state.weights = try Tensor(changed, shape: [changed.count])
        return try loss()
      }
      let step = 4e-3
      // Fourth-order central difference.
      let numeric =
        (8 * (try moved(step) - moved(-step)) - (try moved(2 * step) - moved(-2 * step))) / (12 * step)
      let analytic = zip(part, direction).map(*).reduce(0, +)
      #expect(
        abs(numeric - analytic) <= 0.01 * abs(analytic) + 4e-4,
        "\(slot.name): \(analytic) by backward, \(numeric) by differences")
      model.state.weights = try Tensor(weights, shape: [weights.count])
    }
  }

  @Test(arguments: ["decoder", "encoder"])
  func evaluationHasGradientsOfItsOwn(_ kind: String) throws {
    // BatchNorm by its running moments: they are constants, through which nothing flows back.
    let configuration = try Self.configuration([
      "norm": .string("batch"), "kind": .string(kind), "position": .string("learned"),
    ])
    let model = try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
    let input = Self.input(configuration)
    for _ in 0..<3 { _ = try model.accumulateGradients(input, key: RandomKey(seed: 2)) }
    model.clearGradients()
    _ = try model.accumulateGradients(input, key: RandomKey(seed: 2), training: false)
    let gradients = model.state.gradients.array(), weights = model.state.weights.array()
    for slot in model.layout.slots {
      let part = gradients[slot.range].map(Double.init)
      let norm = part.map { $0 * $0 }.reduce(0, +).squareRoot()
      func moved(_ step: Double) throws -> Double {
        var changed = weights
        for (place, index) in slot.range.enumerated() where norm > 0 {
          changed[index] += Float(step * part[place] / norm)
        }
        model.state.weights = try Tensor(changed, shape: [changed.count])
        return try model.loss(input).mean
      }
      let step = 4e-3
      let numeric =
        (8 * (try moved(step) - moved(-step)) - (try moved(2 * step) - moved(-2 * step))) / (12 * step)
      // Float32 losses near 2.4 differ by 3e-7; over 4e-3 that is 1e-4.
      #expect(
        abs(numeric - norm) <= 0.01 * norm + 4e-4,
        "\(slot.name): \(norm) by backward, \(numeric) by differences")
      model.state.weights = try Tensor(weights, shape: [weights.count])
    }
  }

  @Test func laterTokensDoNotChangeEarlierLogits() throws {
    for position in ["rope", "alibi", "learned", "sinusoidal"] {
      let configuration = try Self.configuration(["position": .string(position)])
      let model = try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
      var input = Self.input(configuration, batch: 1)
      let before = try model.logits(input).array()
      input.tokens[6] = (input.tokens[6] + 1) % 11
      let after = try model.logits(input).array()
      #expect(Array(before[..<(6 * 11)]) == Array(after[..<(6 * 11)]))
      #expect(before[66...] != after[66...])
    }
  }

  @Test func paddingDoesNotChangeAnEncoder() throws {
    let configuration = try Self.configuration(["kind": .string("encoder"), "classes": .int(3)])
    let model = try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
    var input = Self.input(configuration)
    let before = try model.logits(input).array()
    input.tokens[7 + 5] = (input.tokens[7 + 5] + 1) % 11  // behind the 4 real tokens of row 1
    #expect(try model.logits(input).array() == before)
  }

  @Test func dropoutIsOffInEvaluation() throws {
    let configuration = try Self.configuration(["dropout": .double(0.5)])
    let model = try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
    let input = Self.input(configuration)
    let first = try model.loss(input), second = try model.loss(input)
    let key = RandomKey(seed: 4)
    let trained = try model.accumulateGradients(input, key: key),
      other = try model.accumulateGradients(input, key: key(1))
    #expect(first == second)
    #expect(trained.sum != first.sum)
    #expect(trained.sum != other.sum)
  }
}
