import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// The cache of a decoder, what leaves it and the bytes of a measurement follow from one declaration of the variant.
@Suite struct SequenceStateTests {
  static let lines = [
    "full", "full-materialized", "sliding-window(left=3)", "sliding-window(left=2, dilation=3, sinks=2)",
    "sliding-window(left=0)", "sliding-window(left=2, sinks=2, bias=t5)", "full(score=relative)",
    "pyramid(window=2)", "adaptive-span(span=5, ramp=2, initial=0.4)", "adaptive-span(span=5, current=false)",
    "sliding-window(left=[1 4], dilation=[3 1], sinks=1)",
    "chunked(chunk=4)", "chunked(chunk=5, before=1, overlap=3)",
    "local-global(left=3, global_tokens=2)", "local-global(left=2, global_tokens=1, global_positions=[6])",
    "local-global(left=2, global_tokens=6, projections=separate)",
    "local-global(left=1, global_tokens=0, global_positions=[9], projections=separate)",
    "local-global(left=2, global_tokens=20, projections=separate)", "linear", "linear(normalized=false)",
    "retention", "mamba2", "gla", "gated-delta", "kda",
  ]

  @Test("state_bytes is what a decoder holds after as many tokens", arguments: lines, [1, 2])
  func bytesOfAMeasurement(_ line: String, _ keyHeads: Int) throws {
    var settings = GenerationTests.base
    settings.merge(["attention": .string(line), "layers": .int(1), "key_heads": .int(keyHeads)]) { $1 }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    let decoder = try #require(model.decoder)
    let attention = try #require(try model.configuration.layerAttention().first)
    let state = try #require(try Decoding(model, decoder: decoder, source: []))
    // A prompt, then token by token: what is dropped at once and what is dropped row by row leave the same.
    for count in 7...30 {
      _ = try state.advance(count == 7 ? [1, 2, 3, 4, 5, 6, 7] : [Int32(count % 13)])
      // A shape that ends before a global position knows nothing of it.
      guard count >= 10 || !line.contains("global_positions") else { continue }
      let shape = try AttentionShape(
        queryHeads: 2, keyHeads: keyHeads, queryLength: count, headDim: 8, isCausal: true)
      let plan = try Catalog.standard.make(
        attention.id,
        settings: Catalog.standard.fitted(attention.id, settings: attention.settings, to: shape),
        shape: shape, key: RandomKey(seed: 1))
      #expect(Double(state.stateBytes) == plan.cost(of: .decode).stateBytes, "after \(count)")
      #expect(plan.cost(of: .forward).stateBytes == plan.cost(of: .decode).stateBytes)
    }
  }
}
