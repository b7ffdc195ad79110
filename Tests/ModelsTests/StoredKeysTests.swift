import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Stored keys of earlier segments (Memorizing Transformers): what is looked up, what is stored, and where no gradient goes.
@Suite struct StoredKeysTests {
  typealias Settings = [String: ParameterValue]
  static let stored: Settings = ["stored": .int(40), "stored_nearest": .int(3), "layers": .int(1)]

  static func model(_ changes: Settings) throws -> TransformerModel {
    try SegmentMemoryTests.model(stored.merging(changes) { $1 })
  }

  /// One layer by its equations in Double: x `[rows, width]`, behind its norm; stored and own rows alike are given as rows.
  struct Definition {
    let model: TransformerModel, nearest: Int, kept: Int

    func parameter(_ name: String) throws -> [Double] {
      try #require(model.namedWeights()["decoder.layers.0.attention." + name]).array().map(Double.init)
    }
    func linear(_ name: String, _ x: [Double]) throws -> [Double] {
      let w = try parameter(name + ".weight"), b = try parameter(name + ".bias")
      var y = b
      for o in y.indices { for i in x.indices { y[o] += w[o * x.count + i] * x[i] } }
      return y
    }
    func mean(_ scores: [Double], _ values: [[Double]]) -> [Double] {
      let largest = scores.max() ?? 0
      let weights = scores.map { exp($0 - largest) }
      let sum = weights.reduce(0, +)
      var result = [Double](repeating: 0, count: 8)
      for (weight, value) in zip(weights, values) {
        for e in result.indices { result[e] += weight / sum * value[e] }
      }
      return result
    }

    /// The layer's output for rows that follow `earlier` ones, with no positions.
    func output(_ rows: [[Double]], after earlier: [[Double]]) throws -> [[Double]] {
      let stored = Array(earlier.suffix(kept)), gate = try parameter("stored_gate")
      return try rows.indices.map { i in
        var merged: [Double] = []
        for head in 0..<2 {
          func part(_ name: String, _ x: [Double]) throws -> [Double] {
            Array(try linear(name, x)[head * 8..<(head + 1) * 8])
          }
          func scores(_ seen: [[Double]]) throws -> [Double] {
            let q = try part("query", rows[i])
            return try seen.map { zip(q, try part("key", $0)).map(*).reduce(0, +) / 8.0.squareRoot() }
          }
          let seen = Array(rows[0...i])
          let own = mean(try scores(seen), try seen.map { try part("value", $0) })
          guard !stored.isEmpty else {
            merged += own
            continue
          }
          let all = try scores(stored)
          let chosen = all.indices.sorted { (all[$1], $0) < (all[$0], $1) }.prefix(nearest)
          let found = mean(chosen.map { all[$0] }, try chosen.map { try part("value", stored[$0]) })
          let g = 1 / (1 + exp(-gate[head]))
          merged += zip(own, found).map { (1 - g) * $0 + g * $1 }
        }
        return try linear("output", merged)
      }
    }
  }

  /// What a walk's attention read and gave.
  final class Heard: LayerObserver {
    var read: [[Double]] = [], gave: [[Double]] = []
    func branch(_ sublayer: Sublayer, read: Tensor, gave: Tensor) {
      guard case .attention = sublayer.function else { return }
      (self.read, self.gave) = (Self.rows(read), Self.rows(gave))
    }
    func stream(_ x: Tensor) {}
    static func rows(_ x: Tensor) -> [[Double]] { (0..<x.shape[0]).map { x.row($0).map(Double.init) } }
  }

  @Test(
    "outputs are those of the definition, segment after segment",
    arguments: [(3, 40), (1, 4), (0, 40), (5, 7)])
  func definition(_ nearest: Int, _ kept: Int) throws {
    let model = try Self.model([
      "stored_nearest": .int(nearest), "stored": .int(kept), "position": .string("none"),
    ])
    let definition = Definition(model: model, nearest: nearest == 0 ? .max : nearest, kept: kept)
    let input = SegmentMemoryTests.text(batch: 1, length: 17), memory = try model.segmentMemory(streams: 1)
    var earlier: [[Double]] = []
    for segment in input.segments(of: 5) {
      let heard = Heard()
      var run = model.evaluationRun
      run.observer = heard
      try model.forEachGroup(of: segment, after: memory, run) { _, part, run in
        _ = try model.hidden(part, run)
      }
      let expected = try definition.output(heard.read, after: earlier)
      var worst = 0.0
      for (a, b) in zip(heard.gave.joined(), expected.joined()) { worst = max(worst, abs(a - b)) }
      #expect(worst < 2e-5 && heard.gave.count == expected.count, "after \(earlier.count): \(worst)")
      earlier += heard.read
    }
    #expect(memory.byteCount == 2 * 4 * 16 * min(kept, 17))
  }

  @Test(
    "backward agrees with differences of a loss behind a store that stays as it is",
    arguments: [
      ["position": .string("rope")], ["position": .string("alibi"), "key_heads": .int(1)],
      ["memory": .int(6), "stored_nearest": .int(0)],
      [
        "attention": .string("sliding-window(left=2)"), "residual": .string("post"),
        "position": .string("t5"),
      ],
      ["residual": .string("reversible"), "layers": .int(2), "stored_layer": .int(1)],
    ] as [Settings])
  func gradients(_ changes: Settings) throws {
    // All keys: at a tie of the nearest ones the loss has a step.
    let model = try Self.model(["stored_nearest": .int(0)].merging(changes) { $1 })
    let segments = SegmentMemoryTests.text(length: 15).segments(of: 5)
    let start = try model.segmentMemory(streams: 2)
    for segment in segments.prefix(2) { _ = try model.logits(segment, after: start) }
    func memory() throws -> SegmentMemory {
      let copy = try model.segmentMemory(streams: 2)
      #expect(try copy.restore(start.named) == nil)
      return copy
    }
    model.clearGradients()
    _ = try model.accumulateGradients(
      segments[2], key: RandomKey(seed: 0), training: false, after: memory())
    let gradients = model.state.gradients.array().map(Double.init), weights = model.state.weights.array()
    for slot in model.layout.slots {
      let norm = slot.range.reduce(0) { $0 + gradients[$1] * gradients[$1] }.squareRoot()
      guard norm > 0 else {
        #expect(slot.name.hasSuffix("key.bias"), "\(slot.name) has no gradient")
        continue
      }
      func moved(_ step: Double) throws -> Double {
        var changed = weights
        for index in slot.range { changed[index] += Float(step * gradients[index] / norm) }
        model.state.weights = try Tensor(changed, shape: [changed.count])
        return try model.loss(segments[2], after: memory()).mean
      }
      let step = 4e-3
      let numeric =
        (8 * (try moved(step) - moved(-step)) - (try moved(2 * step) - moved(-2 * step))) / (12 * step)
      model.state.weights = try Tensor(weights, shape: [weights.count])
      // A memory of rows makes its keys anew, and they have a gradient; so has everything else.
      #expect(abs(numeric - norm) <= 0.01 * norm + 4e-4, "\(slot.name): \(norm) by backward, \(numeric)")
    }
    let gate = try #require(model.lookups.first?.stored?.gate)
    #expect(gradients[gate.range].contains { $0 != 0 })
  }

  @Test("streams have stores of their own, which a text that begins forgets, unless they are to stay")
  func streams() throws {
    for keeps in [false, true] {
      let model = try Self.model(["stored_texts": .string(keeps ? "keep" : "forget"), "stored": .int(9)])
      let segments = SegmentMemoryTests.text(batch: 3, length: 15).segments(of: 5)
      let memory = try model.segmentMemory(streams: 3), layer = "decoder.layers.0.attention"
      _ = try model.logits(segments[0], after: memory)
      memory.forget(where: [false, true, false])
      #expect((0..<3).map { memory.pairCount(of: $0, layer) } == [5, keeps ? 5 : 0, 5])
      let together = try model.logits(segments[1], after: memory)
      for row in 0..<3 {
        let alone = try model.segmentMemory(streams: 1)
        if row != 1 || keeps { _ = try model.logits(segments[0].rows([row]), after: alone) }
        let own = try model.logits(segments[1].rows([row]), after: alone).array()
        let found = together.narrowed(axis: 0, to: row..<row + 1).array()
        #expect(SegmentMemoryTests.largestDifference(found, own) < 1e-5, "row \(row)")
      }
      #expect((0..<3).map { memory.pairCount(of: $0, layer) } == [9, keeps ? 9 : 5, 9])
    }
  }

  @Test(
    "generation stores segments as training does, and its cache says what its tokens say",
    arguments: [
      Settings(), ["position": .string("learned"), "stored": .int(7)],
      ["position": .string("alibi"), "key_heads": .int(1)], ["layers": .int(3), "stored_layer": .int(2)],
    ])
  func generation(_ changes: Settings) throws {
    let model = try Self.model(changes), prompt: [Int32] = [1, 5, 2]
    let sampling = Sampling(temperature: 1.5, key: RandomKey(seed: 3))
    let cached = try model.generate(prompt: prompt, count: 20, sampling: sampling)
    let again = try model.generate(prompt: prompt, count: 20, sampling: sampling, useCache: false)
    #expect(cached.usedCache && !again.usedCache && cached.tokens == again.tokens)
    #expect(Set(cached.tokens).count > 2)
    // What was generated is what segments of the whole say is likely.
    let decoder = try #require(model.decoder)
    let decoding = try #require(try Decoding(model, decoder: decoder, source: []))
    let tokens = prompt + cached.tokens
    let all = try model.logits(ModelInput(batch: 1, tokens: tokens), inSegmentsOf: 5).array()
    for (place, token) in tokens.enumerated() {
      let found = try decoding.advance([token])
      let expected = Array(all[place * 11..<(place + 1) * 11])
      #expect(SegmentMemoryTests.largestDifference(found, expected) < 3e-5, "token \(place)")
      #expect(Double(decoding.stateBytes) == (try model.cacheBytes(after: place + 1)), "after \(place + 1)")
    }
  }

  static let refusals: [(Settings, String, String)] = [
    (["kind": .string("encoder"), "classes": .int(2)], "stored", "0 unless kind is decoder"),
    (["latent": .int(4)], "stored", "0 with latent"),
    (["norm": .string("batch")], "stored", "0 with norm batch"),
    (["stored_layer": .int(2)], "stored_layer", "at most the 1 layers"),
    (
      ["stored": .int(0), "stored_nearest": .int(32), "stored_layer": .int(1)], "stored_layer",
      "0 unless stored"
    ),
    (["stored": .int(0)], "stored_nearest", "32 unless stored"),
    (
      ["stored": .int(0), "stored_nearest": .int(32), "stored_texts": .string("keep")], "stored_texts",
      "forget unless stored"
    ),
    (["attention": .string("graph")], "stored", "0 with graph"),
    (["attention": .string("lsh")], "stored", "does not read k"),
  ]

  @Test("what cannot be stored or looked up is refused in one line", arguments: refusals)
  func refused(_ changes: Settings, _ field: String, _ words: String) throws {
    let error = #expect(throws: ConfigurationError.self) { try Self.model(changes) }
    #expect(error?.field == field && error?.allowed.contains(words) == true, "\(error?.description ?? "")")
  }

  static let glossary: Settings = [
    "length": .int(8), "words": .int(6), "meanings": .int(4), "segments": .int(6),
  ]

  @Test("a resumed training has the same bits, what is stored of its streams among them")
  func resumed() throws {
    let settings: Settings = ["accumulation": .int(2)]
    let shape = Self.stored.merging(["memory": .int(5), "dropout": .double(0.1)]) {
      $1
    }
    func trainer() throws -> Trainer {
      try TrainerTests.trainer(settings, model: shape, task: "glossary", settings: Self.glossary)
    }
    let run = try ResumedTraining(trainer)
    let (whole, second, path) = (run.whole, run.second, run.path)
    try run.finish()
    #expect(second.namedMemories.mapValues { $0.array() } == whole.namedMemories.mapValues { $0.array() })
    var file = try Safetensors(contentsOf: path)
    let name = "memory.1.0.decoder.layers.0.attention.stored_values"
    #expect(file.tensors[name] != nil)
    #expect(try TransformerModel(contentsOf: path, catalog: .standard).configuration.stored == 40)
    file.tensors[name] = nil
    try file.write(to: path)
    let error = #expect(throws: SafetensorsError.self) { try trainer().resume(from: path) }
    #expect(error?.problem.contains(name) == true)
  }

  @Test("what was told segments before is learnt with stored keys alone")
  func learns() throws {
    func loss(_ stored: Int) throws -> Double {
      let settings: Settings = [
        "stored": .int(stored), "stored_nearest": .int(stored == 0 ? 32 : 4), "position": .string("none"),
      ]
      let trainer = try TrainerTests.trainer(
        [
          "steps": .int(150), "learning_rate": .double(0.02), "batch": .int(16), "evaluate_every": .int(0),
          "consecutive": .bool(true), "evaluation_batches": .int(12),
        ], model: settings, task: "glossary", settings: Self.glossary)
      while !trainer.isFinished { _ = try trainer.advance() }
      return trainer.bestLoss
    }
    let with = try loss(48), without = try loss(0)
    #expect(without > 1.1, "\(without)")
    #expect(with < 0.8, "\(with)")
  }
}
