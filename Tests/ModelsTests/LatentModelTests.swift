import ArrayFiles
import Attention
import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Models with latent rows: what is expanded in training and absorbed in generation says the same, and a decoder holds the latents
/// alone.
@Suite struct LatentModelTests {
  typealias Settings = [String: ParameterValue]
  static let latent: Settings = ["latent": .int(6), "tied": .bool(false), "maximum_length": .int(40)]

  static func model(_ changes: Settings) throws -> TransformerModel {
    try SegmentMemoryTests.model(latent.merging(changes) { $1 })
  }

  static let lines: [Settings] = [
    [:], ["query_latent": .int(5), "rope_width": .int(2), "position": .string("rope-interleaved")],
    ["position": .string("none"), "bias": .bool(false)], ["position": .string("learned")],
    ["position": .string("t5"), "attention": .string("full(sink=learned)")],
    [
      "attention": .string("sliding-window(left=3, sinks=1), full-materialized"), "residual": .string("post"),
    ],
    ["attention": .string("sliding-window(left=[1 4])"), "latent": .int(40)],
    ["attention": .string("pyramid(window=2), top-k(keys=3)")],
    ["attention": .string("adaptive-span(span=9, ramp=3, initial=0.4), hard")],
    ["attention": .string("luong, chunked(chunk=4, before=1)"), "residual": .string("reversible")],
    ["attention": .string("full(softcap=2), random-sparse(block_size=2, random_blocks=1)")],
  ]

  @Test("absorbed, a token after the other gives what the whole sequence gives", arguments: lines)
  func absorbedIsExpanded(_ changes: Settings) throws {
    let model = try Self.model(changes), tokens: [Int32] = (0..<21).map { $0 * $0 % 11 }
    let all = try model.logits(ModelInput(batch: 1, tokens: tokens)).array()
    guard let state = try Decoding(model, decoder: try #require(model.decoder), source: []) else {
      // A pattern that changes with the length of the sequence has no state.
      #expect(changes["attention"]?.description.contains("random-sparse") == true)
      return
    }
    var read = 0
    // A prompt that begins, several tokens that go on, then one by one.
    for count in [5, 3] + [Int](repeating: 1, count: 13) {
      let found = try state.advance(Array(tokens[read..<read + count]))
      read += count
      let expected = Array(all[(read - 1) * 11..<read * 11])
      #expect(SegmentMemoryTests.largestDifference(found, expected) < 3e-5, "after \(read)")
      #expect(Double(state.stateBytes) == (try model.cacheBytes(after: read)), "after \(read)")
    }
  }

  @Test("a decoder holds latents and the shared key, and nothing that grows with the heads")
  func bytes() throws {
    // 2 layers, 16 wide, 2 heads of 8: 4 elements of a head are turned.
    #expect(try Self.model([:]).cacheBytes(after: 21) == 2 * 21 * 4 * (6 + 4))
    #expect(
      try Self.model(["heads": .int(4), "rope_width": .int(4)]).cacheBytes(after: 21) == 2 * 21 * 4 * 10)
    #expect(try Self.model(["position": .string("none")]).cacheBytes(after: 21) == 2 * 21 * 4 * 6)
    #expect(
      try Self.model(["attention": .string("sliding-window(left=3)")]).cacheBytes(after: 21)
        == 2 * 3 * 4 * 10)
    let heads = try SegmentMemoryTests.model([:]),
      grouped = try SegmentMemoryTests.model(["key_heads": .int(1)])
    #expect(try heads.cacheBytes(after: 21) == 2 * 21 * 4 * 2 * 16)
    #expect(try grouped.cacheBytes(after: 21) == 2 * 21 * 4 * 2 * 8)
    #expect(try SegmentMemoryTests.model(["memory": .int(7)]).cacheBytes(after: 21) == 2 * 7 * 4 * 2 * 16)
    #expect(try SegmentMemoryTests.model(["attention": .string("lsh")]).cacheBytes(after: 21) == nil)
  }

  @Test(
    "with a memory as long as the text, segments give what the whole text gives",
    arguments: [Settings(), ["query_latent": .int(5), "residual": .string("post")]])
  func segments(_ changes: Settings) throws {
    let model = try Self.model(changes.merging(["memory": .int(40), "layers": .int(1)]) { $1 })
    let input = SegmentMemoryTests.text(length: 14, scoredFrom: 10)
    let whole = try model.logits(input).array()
    let segments = try model.logits(input, inSegmentsOf: 5).array()
    #expect(SegmentMemoryTests.largestDifference(segments, whole) < 2e-5)
    func gradients(_ body: () throws -> CrossEntropy) throws -> [String: [Float]] {
      model.clearGradients()
      _ = try body()
      return model.namedGradients().mapValues { $0.array() }
    }
    let expected = try gradients {
      try model.accumulateGradients(input, key: RandomKey(seed: 0), training: false)
    }
    let found = try gradients { try model.accumulateGradients(input, inSegmentsOf: 5) }
    for (name, gradient) in found where name != "embedding.weight" {
      #expect(
        SegmentMemoryTests.largestDifference(gradient, try #require(expected[name])) < 3e-5, "\(name)")
    }
    // A generation that holds the latents of 6 positions says what the rows of 6 positions say.
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 3))
    let cached = try model.generate(prompt: [1, 2, 3, 4, 5, 6, 7], count: 15, sampling: sampling, memory: 6)
    let rows = try model.generate(
      prompt: [1, 2, 3, 4, 5, 6, 7], count: 15, sampling: sampling, useCache: false, memory: 6)
    #expect(cached.usedCache && cached.tokens == rows.tokens && cached.peakCacheBytes == 6 * 4 * 10)
  }

  @Test("a checkpoint holds the maps by name, and is the same model")
  func checkpoint() throws {
    let scratch = try Scratch(), path = scratch("model.safetensors")
    let model = try Self.model(["query_latent": .int(5)])
    try model.save(to: path)
    let other = try TransformerModel(contentsOf: path, catalog: .standard)
    #expect(other.configuration == model.configuration && other.configuration.latent == 6)
    let shapes = model.namedWeights().mapValues(\.shape)
    let layer = "decoder.layers.1.attention."
    for (name, shape) in [
      ("queryLatent.weight", [5, 16]), ("queryLatent.bias", [5]), ("queryNorm.weight", [5]),
      ("query.weight", [16, 5]), ("queryRope.weight", [8, 5]), ("latent.weight", [6, 16]),
      ("keyRope.weight", [4, 16]), ("keyRope.bias", [4]), ("latentNorm.weight", [6]),
      ("key.weight", [16, 6]),
      ("value.weight", [16, 6]), ("output.weight", [16, 16]),
    ] {
      #expect(shapes[layer + name] == shape, "\(name)")
    }
    #expect(shapes[layer + "key.bias"] == nil && shapes[layer + "query.bias"] == nil)
    let input = SegmentMemoryTests.text()
    #expect(try other.logits(input).array() == model.logits(input).array())
  }

  @Test("the operations of a step count the maps of latents")
  func operations() throws {
    let input = SegmentMemoryTests.text(batch: 3, length: 10)
    func linear(_ changes: Settings) throws -> Double {
      let model = try Self.model(changes)
      let weights = model.layout.slots.filter { $0.name.hasSuffix(".weight") && $0.shape.count == 2 }
        .filter { !$0.name.hasPrefix("embedding") }.reduce(0) { $0 + $1.count }
      // Every weight is read once for every row, forward and twice backward; what is left is attention.
      return try model.trainingOperations(input) - 6 * 30 * Double(weights)
    }
    let shape = try AttentionShape(
      batch: 3, queryHeads: 2, queryLength: 10, headDim: 12, valueDim: 8, isCausal: true)
    let plan = try Catalog.standard.make("full", shape: shape, key: RandomKey(seed: 1))
    let attention = 2 * (plan.cost(of: .forward).flops + plan.cost(of: .backward).flops)
    #expect(try linear([:]) == attention)
    #expect(try linear(["query_latent": .int(5)]) == attention)
  }

  @Test("attention that draws in training does so over latents too, and has the way back of its draws")
  func draws() throws {
    let model = try Self.model(["attention": .string("hard(gradient=reinforce)"), "layers": .int(1)])
    let input = SegmentMemoryTests.text()
    func step(_ seed: UInt64) throws -> (loss: Double, query: [Float]) {
      model.clearGradients()
      let loss = try model.accumulateGradients(input, key: RandomKey(seed: seed)).sum
      let name = "decoder.layers.0.attention.query.weight"
      return (loss, try #require(model.namedGradients()[name]).array())
    }
    let (one, again, other) = (try step(1), try step(1), try step(2))
    #expect(one.loss == again.loss && one.query == again.query)
    #expect(one.loss != other.loss && one.query.contains { $0 != 0 })
    #expect(try model.loss(input).sum == model.loss(input).sum)
  }

  static let refusals: [(Settings, String, String)] = [
    (["key_heads": .int(1)], "key_heads", "0 with latent"),
    (["position": .string("alibi")], "position", "others than alibi"),
    (["rope_width": .int(3)], "rope_width", "an even number"),
    (["rope_width": .int(4), "position": .string("none")], "rope_width", "0 unless position is rope"),
    (["latent": .int(0), "query_latent": .int(4)], "query_latent", "0 unless latent"),
    (["latent": .int(0), "rope_width": .int(4)], "rope_width", "0 unless latent"),
    (["attention": .string("full(score=additive)")], "attention", "as wide as no head"),
    (["attention": .string("full, full(sink=sentinel)")], "attention", "as wide as no head"),
    (["attention": .string("local-global(projections=separate)")], "attention", "as wide as no head"),
    (["attention": .string("lsh")], "attention", "make and read k and v"),
    (["latent": .int(-1)], "latent", "0 to 65536"),
  ]

  @Test("what latents cannot be read by is refused in one line", arguments: refusals)
  func refused(_ changes: Settings, _ field: String, _ words: String) throws {
    let error = #expect(throws: ConfigurationError.self) { try Self.model(changes) }
    #expect(error?.field == field && error?.allowed.contains(words) == true, "\(error?.description ?? "")")
  }
}
