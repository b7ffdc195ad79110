import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Generation with a key–value cache says what the whole sequence says, and holds no more than the variant needs.
@Suite struct GenerationTests {
  static let base: [String: ParameterValue] = [
    "vocabulary": .int(13), "width": .int(16), "layers": .int(2), "heads": .int(2), "hidden": .int(12),
    "maximum_length": .int(40), "tied": .bool(false),
  ]

  @Test(
    "a full position table is continued by the one token that needs no row of it", arguments: [true, false])
  func fullTable(useCache: Bool) throws {
    var settings = Self.base
    settings.merge(["position": .string("learned"), "maximum_length": .int(6)]) { $1 }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    for (prompt, most) in [(6, 1), (4, 3)] {
      let tokens = (0..<prompt).map { Int32($0) }
      #expect(try model.generate(prompt: tokens, count: most, useCache: useCache).tokens.count == most)
      let error = #expect(throws: ConfigurationError.self) {
        try model.generate(prompt: tokens, count: most + 1, useCache: useCache)
      }
      #expect(error?.allowed == "at most \(most) after a prompt of \(prompt)")
    }
  }

  @Test(arguments: [
    ["attention": ParameterValue.string("full")],
    ["attention": .string("full"), "position": .string("alibi"), "key_heads": .int(1)],
    ["attention": .string("full"), "position": .string("learned"), "residual": .string("post")],
    ["attention": .string("sliding-window(left=3)"), "position": .string("sinusoidal")],
    ["attention": .string("sliding-window(left=2, dilation=2, sinks=2), full")],
    ["attention": .string("chunked(chunk=4)")],
    ["attention": .string("chunked(chunk=4, before=1)"), "position": .string("alibi")],
    ["attention": .string("chunked(chunk=4, overlap=2)"), "position": .string("rope-interleaved")],
    ["attention": .string("full-materialized"), "position": .string("none")],
    ["attention": .string("local-global(left=2, global_tokens=2)"), "key_heads": .int(1)],
    ["attention": .string("random-sparse(block_size=2, random_blocks=1)")],
    ["attention": .string("full, lsh(buckets=2, hashes=1, chunk=4)")],
    ["kind": .string("encoder-decoder"), "position": .string("sinusoidal")],
    ["residual": .string("reversible"), "attention": .string("sliding-window(left=3), full")],
    ["residual": .string("reversible"), "reversible_output": .string("concat"), "key_heads": .int(1)],
    [
      "residual": .string("reversible"), "reversible_output": .string("concat"),
      "kind": .string("encoder-decoder"), "position": .string("learned"),
    ],
  ])
  func cacheSaysWhatTheWholeSequenceSays(_ changes: [String: ParameterValue]) throws {
    let configuration = try ModelConfiguration(settings: Self.base.merging(changes) { $1 })
    let model = try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
    let source: [Int32] = configuration.kind == .encoderDecoder ? [3, 1, 4, 1, 5] : []
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 3))
    let cached = try model.generate(prompt: [1, 2, 3, 4, 5], count: 16, source: source, sampling: sampling)
    let whole = try model.generate(
      prompt: [1, 2, 3, 4, 5], count: 16, source: source, sampling: sampling, useCache: false)
    let attention = configuration.attention
    #expect(cached.usedCache == !(attention.contains("random-sparse") || attention.contains("lsh")))
    #expect(!whole.usedCache)
    #expect(cached.tokens == whole.tokens)
    #expect(Set(cached.tokens).count > 1)
  }

  @Test(
    "settings that are left out are the variant's own", arguments: ["chunked", "sliding-window"], [120, 250])
  func cacheKnowsTheDefaults(attention: String, promptLength: Int) throws {
    var settings = Self.base
    settings.merge(["attention": .string(attention), "layers": .int(1), "maximum_length": .int(280)]) { $1 }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    let prompt = (0..<Int32(promptLength)).map { $0 * $0 % 13 }
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 3))
    let cached = try model.generate(prompt: prompt, count: 20, sampling: sampling)
    let whole = try model.generate(prompt: prompt, count: 20, sampling: sampling, useCache: false)
    #expect(cached.usedCache && cached.tokens == whole.tokens)
  }

  @Test func aSlidingWindowHoldsItsWindow() throws {
    func bytes(_ attention: String) throws -> Int {
      var settings = Self.base
      settings["attention"] = .string(attention)
      let model = try TransformerModel(
        ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
      return try model.generate(prompt: [1], count: 30).peakCacheBytes
    }
    // 2 layers × (k and v) × 16 wide × 4 bytes a row; the last of the 30 tokens is not read again.
    let row = 2 * 2 * 16 * 4
    #expect(try bytes("full") == 30 * row)
    #expect(try bytes("sliding-window(left=3)") == 3 * row)
    #expect(try bytes("sliding-window(left=3, sinks=2)") == 5 * row)
    #expect(try bytes("chunked(chunk=4)") <= 4 * row)
    // Longformer's: the window and the keys up to the last global position.
    #expect(try bytes("local-global(left=3, global_tokens=2)") == 5 * row)
    #expect(try bytes("local-global(left=3, global_tokens=1, global_positions=[4])") == 8 * row)
    #expect(try bytes("local-global(left=3, global_tokens=0)") == 3 * row)
  }

  @Test(
    "caches that lose rows again and again stay right",
    arguments: [
      "sliding-window(left=5)", "sliding-window(left=3, dilation=4, sinks=3)",
      "sliding-window(left=[2 11], sinks=1)", "pyramid(window=3)",
      "adaptive-span(span=9, ramp=3, initial=0.4)",
      "adaptive-span(span=7, initial=1, current=false)", "chunked(chunk=7, before=1)",
      "chunked(chunk=5, overlap=3)", "local-global(left=6, global_tokens=3)",
      "local-global(left=2, global_tokens=1, global_positions=[4 9])", "local-global(left=30), full",
    ], [LayerConfiguration.Position.rope, .alibi])
  func longGeneration(attention: String, position: LayerConfiguration.Position) throws {
    var settings = Self.base
    settings.merge([
      "attention": .string(attention), "position": .string(position.rawValue), "maximum_length": .int(400),
      "key_heads": .int(1),
    ]) { $1 }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 5))
    let cached = try model.generate(prompt: [1, 2, 3], count: 150, sampling: sampling)
    let whole = try model.generate(prompt: [1, 2, 3], count: 150, sampling: sampling, useCache: false)
    #expect(cached.usedCache && cached.tokens == whole.tokens)
    #expect(Set(cached.tokens).count > 3)
  }

  @Test(
    "the state of a recurrence stands for all tokens before it, beside softmax layers too, and is as large at any length",
    arguments: [
      "linear", "retention", "mamba2", "gla", "gated-delta", "kda", "mamba2(skip=false), gated-delta, full",
      "gated-delta x3, full",
    ])
  func recurrences(attention: String) throws {
    var settings = Self.base
    settings.merge([
      "attention": .string(attention), "layers": .int(attention.contains("full") ? 3 : 2),
      "key_heads": .int(1),
      "position": .string("rope"), "maximum_length": .int(200),
    ]) { $1 }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 5))
    let prompt = (0..<70).map { Int32($0 * $0 % 13) }
    let cached = try model.generate(prompt: prompt, count: 80, sampling: sampling)
    let whole = try model.generate(prompt: prompt, count: 80, sampling: sampling, useCache: false)
    #expect(cached.usedCache && cached.tokens == whole.tokens)
    #expect(Set(cached.tokens).count > 3)
    guard !attention.contains("full") else { return }
    // Two layers, one key head of 8 channels: 8·8 floats, and 8 more of a normaliser.
    #expect(cached.peakCacheBytes == 2 * 4 * (64 + (attention == "linear" ? 8 : 0)))
  }

  @Test(
    "a hybrid of published blocks, convolved and gated, is trained, and generates from its states; their bytes are the closed form",
    arguments: ["gated-delta x3, full", "mamba2, kda", "gla"], ["silu", "silu-first"])
  func blocks(_ attention: String, _ gate: String) throws {
    let layers = attention.contains("x3") ? 4 : 2
    let trainer = try TrainerTests.trainer(
      ["steps": .int(25), "learning_rate": .double(0.01), "batch": .int(8), "evaluate_every": .int(0)],
      model: [
        "attention": .string(attention), "layers": .int(layers), "key_heads": .int(1),
        "maximum_length": .int(200),
        "short_convolution": .int(4), "output_gate": .string(gate), "norm": .string("rms"),
      ], task: "copying", settings: ["tokens": .int(2), "blanks": .int(2), "vocabulary": .int(6)])
    let start = try trainer.evaluate(.validation, batches: 1).mean
    while !trainer.isFinished { _ = try trainer.advance() }
    #expect(trainer.bestLoss < 0.9 * start, "from \(start) to \(trainer.bestLoss)")
    let model = trainer.model, sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 5))
    for length in [1, 2, 70] {
      let prompt = (0..<length).map { Int32($0 * $0 % 5) }
      let cached = try model.generate(prompt: prompt, count: 20, sampling: sampling)
      let whole = try model.generate(prompt: prompt, count: 20, sampling: sampling, useCache: false)
      #expect(cached.usedCache && cached.tokens == whole.tokens, "\(length)")
    }
    let decoder = try #require(model.decoder)
    let state = try #require(try Decoding(model, decoder: decoder, source: []))
    for count in 3...9 {
      _ = try state.advance(count == 3 ? [1, 2, 3] : [Int32(count % 5)])
      #expect(try Double(state.stateBytes) == model.cacheBytes(after: count), "after \(count)")
    }
  }

  @Test("a convolution and a gate without a recurrence are refused in one line")
  func blocksWithoutRecurrence() throws {
    for setting in [["short_convolution": ParameterValue.int(4)], ["output_gate": .string("silu")]] {
      let error = #expect(throws: ConfigurationError.self) {
        try TransformerModel(
          ModelConfiguration(settings: Self.base.merging(setting) { $1 }), catalog: .standard,
          context: .recycling(threads: 1))
      }
      #expect(error?.allowed.contains("unless the attention of a layer is a recurrence") == true)
    }
  }

  @Test("positions that bias scores are refused with a recurrence, which has none")
  func recurrenceWithoutScores() throws {
    var settings = Self.base
    settings.merge(["attention": .string("linear"), "position": .string("alibi")]) { $1 }
    let error = #expect(throws: ConfigurationError.self) {
      try TransformerModel(
        ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    }
    #expect(error?.description.contains("which has no scores") == true)
  }

  @Test("of a variant that says nothing of its evictable keys nothing is kept")
  func unknownVariants() throws {
    var settings = Self.base
    settings["attention"] = .string("own-band(width=3)")
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard + [OwnBand.self],
      context: .recycling(threads: 1))
    #expect(try !model.generate(prompt: [1], count: 3).usedCache)
  }

  @Test func samplingFollowsItsRule() {
    let logits: [Float] = [0, 3, 1, 2]
    #expect(Sampling().choose(logits, step: 0) == 1)
    let two = Sampling(temperature: 1, topK: 2)
    let drawn = (0..<300).map { two.choose(logits, step: $0) }
    #expect(Set(drawn) == [1, 3])
    // p(1) = e/(1 + e) = 0.731.
    #expect(abs(Double(drawn.count { $0 == 1 }) / 300 - 0.731) < 0.1)
  }
}

/// A causal band of keys that says no more than a variant must.
private struct OwnBand: PatternVariant {
  struct Configuration: VariantConfiguration {
    var width = 3
    static let parameters: [Parameter<Self>] = [.integer("width", \.width, in: 1...64, help: "Keys seen")]
  }

  static let card = VariantCard(
    id: "own-band", title: "Own band", paper: "none", idea: "a band", equation: "")

  let configuration: Configuration
  let shape: AttentionShape
  let pattern: TilePattern

  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError) {
    (self.configuration, self.shape) = (configuration, shape)
    var list = TileList()
    for row in stride(from: 0, to: shape.queryLength, by: TileList.lanes) {
      let count = min(TileList.lanes, shape.queryLength - row), first = row + shape.queryOffset
      let begin = max(0, first - configuration.width + 1), end = min(shape.keyLength, first + count)
      let band = TileList.Mask.band(low: 0, high: Int32(configuration.width - 1))
      list.addTile(start: row, count: count, segments: [.init(start: begin, count: end - begin, mask: band)])
    }
    pattern = TilePattern(shared: list)
  }

  func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    (0..<configuration.width).contains(query + shape.queryOffset - key) ? 1 : 0
  }
}
