import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models

/// Every kind of layer at the lengths around a tile, with padding, down to a sequence of nothing: legal, or refused in one line.
@Suite struct LengthWalkTests {
  typealias Settings = [String: ParameterValue]

  /// What is tried, by name.
  static let kinds: [(name: String, settings: Settings)] = {
    func attention(_ line: String) -> (name: String, settings: Settings) {
      (line, ["attention": .string(line)])
    }
    let variants = Catalog.standard.ids.filter { $0 != "graph" }.map(attention)
    let classes: Settings = ["kind": .string("encoder"), "classes": .int(3)]
    let pairs: Settings = ["kind": .string("pair"), "classes": .int(3)]
    func with(_ base: Settings, _ more: Settings) -> Settings { base.merging(more) { $1 } }
    let layers: [(name: String, settings: Settings)] = [
      ("graph", with(classes, ["attention": .string("graph(output=mean)"), "position": .string("none")])),
      ("two key heads", ["heads": .int(4), "key_heads": .int(2)]), ("latent", ["latent": .int(6)]),
      ("t5", ["position": .string("t5")]), ("alibi", ["position": .string("alibi")]),
      ("learned", ["position": .string("learned")]),
      ("relative", ["attention": .string("full(score=relative)"), "position": .string("none")]),
      ("reversible", ["residual": .string("reversible")]),
      ("memory", ["memory": .int(5)]), ("stored", ["stored": .int(8), "stored_nearest": .int(2)]),
      ("encoder-decoder", ["kind": .string("encoder-decoder")]),
      ("classifier by attention", with(classes, ["pooling": .string("attention")])),
      ("han", with(classes, ["hierarchy": .string("han"), "segment_length": .int(9)])),
      (
        "han of blocks",
        with(
          classes,
          [
            "hierarchy": .string("han"), "separator": .int(1), "han_encoder": .string("blocks"),
          ])
      ),
      ("hat", with(classes, ["hierarchy": .string("hat"), "segment_length": .int(9)])),
      // More layers across segments than inside, and more that read the source than the question.
      (
        "hat, high",
        with(classes, ["hierarchy": .string("hat"), "segment_length": .int(9), "segment_layers": .int(3)])
      ),
      (
        "han of blocks, high",
        with(
          classes,
          [
            "hierarchy": .string("han"), "separator": .int(1), "han_encoder": .string("blocks"),
            "segment_layers": .int(2),
          ])
      ),
      ("parallel, high", with(pairs, ["encoder_layers": .int(2)])),
      ("parallel", with(pairs, ["co_attention": .string("parallel")])),
      ("alternating", with(pairs, ["co_attention": .string("alternating")])),
      ("means of a pair", with(pairs, ["co_attention": .string("mean")])),
    ]
    return variants + layers
  }()

  static func model(_ settings: Settings) throws -> TransformerModel {
    let base: Settings = [
      "vocabulary": .int(11), "width": .int(8), "layers": .int(1), "heads": .int(2), "hidden": .int(8),
      "maximum_length": .int(257), "seed": .int(3),
    ]
    return try TransformerModel(
      ModelConfiguration(settings: base.merging(settings) { $1 }), catalog: .standard,
      context: .recycling(threads: 1))
  }

  static func input(_ model: ModelConfiguration, length: Int, lengths: [Int]) -> ModelInput {
    func rows(_ shift: Int) -> [Int32] { (0..<2 * length).map { Int32(($0 * 7 + shift) % 11) } }
    var input = ModelInput(batch: 2, tokens: rows(1), lengths: lengths)
    input.targets = model.classes > 0 ? [0, 2] : rows(5)
    if model.kind.hasSource { (input.source, input.sourceLengths) = (rows(2), lengths.reversed()) }
    return input
  }

  @Test("every kind of layer takes every length or refuses it in one line", arguments: kinds.indices)
  func walk(_ index: Int) throws {
    let (name, settings) = Self.kinds[index]
    let model = try Self.model(settings)
    for length in [1, 2, 63, 64, 65, 257] {
      let paddings = [[max(1, length / 2), length], [length, length], [0, length]]
      for lengths in paddings.prefix(length <= 2 ? 3 : 1) {
        let input = Self.input(model.configuration, length: length, lengths: lengths)
        let place = "\(name), \(length) tokens, of which \(lengths) are real"
        do {
          let logits = try model.logits(input)
          let width = logits.shape[logits.rank - 1], perRow = logits.count / 2 / width
          // What stands in padding is nobody's result.
          for (row, count) in lengths.enumerated() where count > 0 {
            let start = row * perRow * width, end = start + (perRow == 1 ? 1 : count) * width
            let isFinite = logits.array()[start..<end].allSatisfy { $0.isFinite }
            #expect(isFinite, "\(place)")
          }
          guard length <= 65 else { continue }
          model.clearGradients()
          let loss = try model.accumulateGradients(input, key: RandomKey(seed: 4))
          let isFinite = model.state.gradients.array().allSatisfy { $0.isFinite }
          #expect(loss.mean.isFinite && isFinite, "\(place)")
        } catch let error as ConfigurationError {
          #expect(!error.description.contains("\n") && lengths.contains(0), "\(place): \(error)")
        }
      }
    }
  }
}
