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

/// A memory of segments gives what the whole text gives where it reaches so far, no more than it holds where it does not, and
/// has no gradient.
@Suite struct SegmentMemoryTests {
  typealias Settings = [String: ParameterValue]
  static let base: Settings = [
    "vocabulary": .int(11), "width": .int(16), "layers": .int(2), "heads": .int(2), "hidden": .int(20),
    "maximum_length": .int(5), "tied": .bool(false), "seed": .int(4),
  ]
  /// Scores by distance, in place of positions.
  static let relative: Settings = ["attention": .string("full(score=relative)"), "position": .string("none")]

  static func model(_ changes: Settings) throws -> TransformerModel {
    let model = try TransformerModel(
      ModelConfiguration(settings: base.merging(changes) { $1 }), catalog: .standard,
      context: .recycling(threads: 1))
    // Parameters that start as constants, or near 0, would hide what they do.
    let noise = try Tensor.normal([model.layout.count], key: RandomKey(seed: 6), standardDeviation: 0.2)
    model.context.accumulate(noise, into: &model.state.weights)
    return model
  }

  static func text(batch: Int = 2, length: Int = 23, scoredFrom first: Int = 0) -> ModelInput {
    var random = RandomKey(seed: 2).generator()
    func draw() -> [Int32] { (0..<batch * length).map { _ in Int32(random.integer(below: 11)) } }
    var input = ModelInput(batch: batch, tokens: draw())
    input.targets = draw()
    for place in input.targets.indices where place % length < first { input.targets[place] = -100 }
    return input
  }

  static func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { max($0, ($1.0 - $1.1).magnitude) } / max(1, b.reduce(0) { max($0, $1.magnitude) })
  }

  static let lines: [Settings] = [
    relative, relative.merging(["residual": .string("post"), "key_heads": .int(1)]) { $1 },
    relative.merging(["residual": .string("reversible"), "norm": .string("rms")]) { $1 },
    [:], ["position": .string("rope-interleaved"), "bias": .bool(false)],
    ["position": .string("alibi"), "key_heads": .int(1)], ["position": .string("t5")],
    ["attention": .string("full-materialized, sliding-window(left=2)")],
    ["attention": .string("luong(score=general), luong(align=local-m, window=4)")],
    ["attention": .string("top-k(keys=3)")], ["attention": .string("hard")],
    ["attention": .string("full(sink=learned, softcap=3), full(score=additive)")],
  ]

  @Test("with a memory as long as the text, segments give what the whole text gives", arguments: lines)
  func segmentsAreTheWhole(_ changes: Settings) throws {
    let model = try Self.model(changes.merging(["memory": .int(40)]) { $1 }), input = Self.text()
    let whole = try model.logits(input).array()
    for length in [1, 5, 22] {
      let segments = try model.logits(input, inSegmentsOf: length).array()
      #expect(Self.largestDifference(segments, whole) < 2e-5, "segments of \(length)")
    }
    // Without a memory a segment knows nothing of those before.
    let apart = try model.logits(input, inSegmentsOf: 5, memory: 0).array()
    #expect(Self.largestDifference(apart, whole) > 1e-2)
    #expect(
      Array(apart[0..<5 * 11]) == Array(whole[0..<5 * 11])
        || Self.largestDifference(
          Array(apart[0..<5 * 11]), Array(whole[0..<5 * 11])) < 2e-5
    )
  }

  /// Every sample of every variant that says it goes by distance.
  static let byDistance: [String] = {
    func lines<V: AttentionVariant>(_ type: V.Type) -> [String] {
      let standard = V.Configuration().settings
      return V.Configuration.samples.map { sample in
        LayerAttention(V.card.id, settings: sample.settings.filter { standard[$0.key] != $0.value })
          .description
      }
    }
    return Catalog.standard.types.flatMap { lines($0) }.filter { line in
      (try? LayerAttention.parse(line)).flatMap { try? Catalog.standard.takesPast($0[0]) } == true
    }
  }()

  @Test("a variant that says it goes by distance does")
  func distances() throws {
    #expect(Self.byDistance.count > 10)
    let input = Self.text(length: 9)
    for line in Self.byDistance {
      let model = try Self.model([
        "attention": .string(line), "memory": .int(9), "layers": .int(1), "position": .string("none"),
      ])
      let whole = try model.logits(input).array()
      let segments = try model.logits(input, inSegmentsOf: 4).array()
      #expect(Self.largestDifference(segments, whole) < 2e-5, "\(line)")
    }
  }

  @Test("a window that a memory covers is the same in segments", arguments: [2, 3, 7])
  func windowsNeedNoMore(memory: Int) throws {
    let model = try Self.model([
      "attention": .string("sliding-window(left=3)"), "memory": .int(memory),
    ])
    let input = Self.text()
    let difference = Self.largestDifference(
      try model.logits(input, inSegmentsOf: 4).array(), try model.logits(input).array())
    #expect(memory < 3 ? difference > 1e-2 : difference < 2e-5)
  }

  @Test("through L layers a row sees L times the memory, and not one token more")
  func reach() throws {
    let model = try Self.model(Self.relative.merging(["memory": .int(3)]) { $1 })
    let input = Self.text(batch: 1, length: 24)
    func last(_ input: ModelInput) throws -> [Float] {
      Array(try model.logits(input, inSegmentsOf: 4).array().suffix(4 * 11))
    }
    let before = try last(input)
    // The last segment begins at 20; its first layer reads rows from 17 on, and these have read 13 and later ones at best.
    for (place, isSeen) in [(12, false), (13, true), (17, true)] {
      var changed = input
      changed.tokens[place] = (changed.tokens[place] + 1) % 11
      #expect((try last(changed) != before) == isSeen, "token \(place)")
    }
  }

  @Test(
    "of one layer, all gradients but those of the embedding are those of the whole text",
    arguments: [
      relative, relative.merging(["residual": .string("post")]) { $1 }, ["key_heads": .int(1)],
      relative.merging(["residual": .string("reversible")]) { $1 }, ["position": .string("alibi")],
    ])
  func gradients(_ changes: Settings) throws {
    let model = try Self.model(changes.merging(["memory": .int(40), "layers": .int(1)]) { $1 })
    // What is scored stands in the last segment, whose memory are embeddings.
    let input = Self.text(length: 14, scoredFrom: 10)
    func gradients(_ body: () throws -> CrossEntropy) throws -> ([String: Tensor], CrossEntropy) {
      model.clearGradients()
      let loss = try body()
      return (model.namedGradients().mapValues { $0.contiguous() }, loss)
    }
    let (whole, loss) = try gradients {
      try model.accumulateGradients(input, key: RandomKey(seed: 0), training: false)
    }
    let expected = whole.mapValues { $0.array() }
    let (found, other) = try gradients { try model.accumulateGradients(input, inSegmentsOf: 5) }
    #expect(abs(loss.mean - other.mean) < 1e-5 && loss.rows == other.rows)
    for (name, gradient) in found {
      let difference = Self.largestDifference(gradient.array(), try #require(expected[name]))
      #expect(name == "embedding.weight" ? difference > 1e-4 : difference < 3e-5, "\(name)")
    }
  }

  @Test("a stream in which a text begins sees nothing of what it has read; the others go on")
  func streamsBeginApart() throws {
    let model = try Self.model(Self.relative.merging(["memory": .int(6)]) { $1 })
    let segments = Self.text(batch: 3, length: 12).segments(of: 4)
    let memory = try model.segmentMemory(streams: 3)
    for segment in segments.prefix(2) { _ = try model.logits(segment, after: memory) }
    #expect(memory.byteCount == 3 * 2 * 6 * 16 * 4)
    memory.forget(where: [false, true, false])
    #expect((0..<3).map(memory.count) == [6, 0, 6])
    let together = try model.logits(segments[2], after: memory)
    for row in 0..<3 {
      let alone = try model.segmentMemory(streams: 1)
      for segment in segments.prefix(2) where row != 1 {
        _ = try model.logits(segment.rows([row]), after: alone)
      }
      let logits = try model.logits(segments[2].rows([row]), after: alone).array()
      let own = together.narrowed(axis: 0, to: row..<row + 1).array()
      #expect(Self.largestDifference(own, logits) < 1e-5, "row \(row)")
    }
    #expect((0..<3).map(memory.count) == [6, 4, 6])
  }

  @Test("rows of zeros at the start are seen, as Hugging Face has it")
  func zeros() throws {
    let input = Self.text(length: 4)
    let absent = try Self.model(Self.relative.merging(["memory": .int(3)]) { $1 })
    let zeros = try Self.model(
      Self.relative.merging(["memory": .int(3), "empty_memory": .string("zeros")]) { $1 })
    let a = try absent.logits(input, inSegmentsOf: 4).array(),
      b = try zeros.logits(input, inSegmentsOf: 4).array()
    #expect(a == (try absent.logits(input).array()))
    #expect(Self.largestDifference(a, b) > 1e-3)
  }

  @Test("generation keeps as many keys as the memory has positions, and says what its rows say")
  func generation() throws {
    for changes in [Self.relative, [:], ["position": .string("alibi")]] {
      // ALiBi's keys have one element more in each head.
      let wider = changes["position"] == .string("alibi") ? 2 : 0
      let model = try Self.model(changes.merging(["memory": .int(6)]) { $1 })
      let prompt: [Int32] = (0..<13).map { $0 * 7 % 11 }
      let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 3))
      for memory in [nil, 9] {
        let cached = try model.generate(prompt: prompt, count: 15, sampling: sampling, memory: memory)
        let rows = try model.generate(
          prompt: prompt, count: 15, sampling: sampling, useCache: false, memory: memory)
        #expect(cached.usedCache && !rows.usedCache && cached.tokens == rows.tokens)
        #expect(Set(cached.tokens).count > 1)
        // 2 layers, 16 wide, float32: keys and values, or one row of which both are made.
        #expect(cached.peakCacheBytes == 2 * (2 * 16 + wider) * (memory ?? 6) * 4)
        #expect(rows.peakCacheBytes == 2 * 16 * (memory ?? 6) * 4)
      }
    }
    // A memory that holds everything is no limit.
    let model = try Self.model([:]), prompt: [Int32] = [1, 2, 3, 4]
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 3))
    #expect(
      try model.generate(prompt: prompt, count: 9, sampling: sampling, memory: 40).tokens
        == model.generate(prompt: prompt, count: 9, sampling: sampling).tokens)
  }

  static let refusals: [(Settings, String)] = [
    (["kind": .string("encoder"), "classes": .int(2)], "0 unless kind is decoder"),
    (["position": .string("learned")], "0 with position learned, which numbers every segment anew"),
    (["norm": .string("batch")], "0 with norm batch"),
    (
      ["attention": .string("chunked(chunk=4)")],
      "0 with chunked(chunk=4), where places in the sequence count"
    ),
    (["attention": .string("full, sliding-window(left=3, sinks=1)")], "0 with sliding-window"),
    (["attention": .string("luong(align=local-p)")], "0 with luong"),
    (["attention": .string("local-global")], "by distance go full, full-materialized, sliding-window"),
    (["attention": .string("lsh")], "0 with lsh"),
  ]

  @Test("what depends on places in the sequence is refused in one line", arguments: refusals)
  func refused(_ changes: Settings, _ words: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      try Self.model(changes.merging(["memory": .int(4)]) { $1 })
    }
    #expect(error?.field == "memory" && error?.allowed.contains(words) == true, "\(error?.allowed ?? "")")
  }
}

/// Training on texts in order.
@Suite struct SegmentTrainingTests {
  static let echo: [String: ParameterValue] = [
    "length": .int(6), "vocabulary": .int(5), "distance": .int(8), "share": .double(0.9),
  ]
  static let model: [String: ParameterValue] = SegmentMemoryTests.relative.merging([
    "memory": .int(9), "dropout": .double(0.1),
  ]) { $1 }

  @Test("a resumed training has the same bits, the memory of its streams among them")
  func resumed() throws {
    let settings: [String: ParameterValue] = ["accumulation": .int(2)]
    func trainer() throws -> Trainer {
      try TrainerTests.trainer(settings, model: Self.model, task: "echo", settings: Self.echo)
    }
    let run = try ResumedTraining(trainer)
    let (whole, second, path) = (run.whole, run.second, run.path)
    try run.finish()
    #expect(second.evaluations == whole.evaluations)
    let kept = second.namedMemories.mapValues { $0.array() }
    #expect(kept == whole.namedMemories.mapValues { $0.array() } && kept.count == 2 * 4)

    // The file is a model for others, and no training without its memory.
    #expect(try TransformerModel(contentsOf: path, catalog: .standard).configuration.memory == 9)
    var file = try Safetensors(contentsOf: path)
    file.tensors["memory.1.2.decoder.layers.0.attention"] = nil
    try file.write(to: path)
    let error = #expect(throws: SafetensorsError.self) { try trainer().resume(from: path) }
    #expect(
      error?.problem == "memory.1.2.decoder.layers.0.attention, what a layer keeps of earlier segments, "
        + "is missing or does not fit")
  }

  @Test("what lies behind a segment is learnt with a memory alone")
  func learns() throws {
    func loss(_ memory: Int) throws -> Double {
      let trainer = try TrainerTests.trainer(
        [
          "steps": .int(120), "learning_rate": .double(0.01), "batch": .int(8), "evaluate_every": .int(0),
          "consecutive": .bool(true), "evaluation_batches": .int(8),
        ], model: Self.model.merging(["memory": .int(memory), "dropout": .double(0)]) { $1 }, task: "echo",
        settings: Self.echo)
      while !trainer.isFinished { _ = try trainer.advance() }
      return trainer.bestLoss
    }
    let with = try loss(9), without = try loss(0)
    #expect(without > 1.5, "\(without)")
    #expect(with < 1.35, "\(with)")
  }

  @Test("tasks without an order, and encoders, are refused in one line")
  func refused() throws {
    let error = #expect(throws: ConfigurationError.self) {
      try TrainerTests.trainer([:], model: ["memory": .int(4)])
    }
    #expect(
      error?.description
        == "memory: 4 is not allowed; it takes 0 with the task induction, whose examples do not continue each "
        + "other; those of text, echo and glossary do")
    let other = #expect(throws: ConfigurationError.self) {
      try TrainerTests.trainer(
        ["consecutive": .bool(true)], model: ["kind": .string("encoder"), "tied": .bool(false)], task: "echo",
        settings: Self.echo)
    }
    #expect(other?.description == "consecutive: true is not allowed; it takes false unless kind is decoder")
  }

  @Test("an evaluation may keep more than training did")
  func longerInEvaluation() throws {
    let trainer = try TrainerTests.trainer([:], model: Self.model, task: "echo", settings: Self.echo)
    let losses = try [0, 9, 20].map { try trainer.evaluate(.validation, batches: 5, memory: $0).mean }
    #expect(Set(losses).count == 3)
    #expect(try trainer.evaluate(.validation, batches: 5).mean == losses[1])
    #expect(throws: ConfigurationError.self) {
      try TrainerTests.trainer([:]).evaluate(.validation, batches: 1, memory: 4)
    }
  }
}
