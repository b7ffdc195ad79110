import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training
@testable import Tasks

/// Padding is nothing to a model: not to logits, losses, gradients or running moments, whatever its attention and its norm.
@Suite struct PaddingTests {
  static let attentions = [
    "full", "sliding-window(left=3)", "local-global(left=2, global_tokens=1)",
    "random-sparse(block_size=2, random_blocks=1)", "lsh(chunk=4, hashes=2)",
    "lsh(chunk=4, circular=true, after=1)",
    "lsh(shared_query_key=false, chunk=4)", "chunked(chunk=4, before=1)",
    "chunked(chunk=3, before=1, circular=true)",
    "full-materialized",
  ]
  static let kinds = ["encoder", "classifier", "decoder", "encoder-decoder"]

  static func model(_ attention: String, _ kind: String, norm: String) throws -> TransformerModel {
    let settings: [String: ParameterValue] = [
      "vocabulary": .int(11), "width": .int(12), "layers": .int(2), "heads": .int(2), "hidden": .int(10),
      "seed": .int(3), "attention": .string(attention), "norm": .string(norm),
      "position": .string("sinusoidal"),
      "kind": .string(kind == "classifier" ? "encoder" : kind), "classes": .int(kind == "classifier" ? 3 : 0),
      "encoder_layers": .int(kind == "encoder-decoder" ? 1 : 0), "embedding_norm": .bool(true),
    ]
    return try TransformerModel(
      try ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
  }

  /// Three sequences of 13, 6 and 9 tokens in rows of `length`; `filler` is what stands behind them.
  static func input(_ kind: String, length: Int, filler: Int32) -> ModelInput {
    let lengths = [13, 6, 9]
    func rows(_ shift: Int, behind: Int32) -> [Int32] {
      lengths.enumerated().flatMap { row, count in
        (0..<length).map { $0 < count ? Int32(($0 * 7 + row * 3 + shift) % 11) : behind }
      }
    }
    var input = ModelInput(batch: 3, tokens: rows(1, behind: filler), lengths: lengths)
    input.targets = kind == "classifier" ? [0, 2, 1] : rows(5, behind: filler)
    if kind == "encoder-decoder" { (input.source, input.sourceLengths) = (rows(2, behind: filler), lengths) }
    return input
  }

  /// What a training step sees: the loss, and gradients and running moments after it.
  struct Step { var loss: CrossEntropy, gradients: [Float], buffers: [Float], logits: [[Float]] }

  static func step(_ model: TransformerModel, _ input: ModelInput) throws -> Step {
    let all = try model.logits(input)
    let dim = all.shape[all.rank - 1], values = all.array()
    let logits = (0..<3).map { row in
      all.rank == 2
        ? Array(values[row * dim..<(row + 1) * dim])
        : Array(values[row * input.length * dim..<(row * input.length + [13, 6, 9][row]) * dim])
    }
    model.clearGradients()
    let loss = try model.accumulateGradients(input, key: RandomKey(seed: 4))
    return Step(
      loss: loss, gradients: model.state.gradients.array(), buffers: model.state.buffers, logits: logits)
  }

  @Test("what stands in padded rows changes no bit", arguments: attentions, kinds)
  func content(_ attention: String, _ kind: String) throws {
    for norm in ["layer", "batch"] {
      let (a, b) = (try Self.model(attention, kind, norm: norm), try Self.model(attention, kind, norm: norm))
      let one = try Self.step(a, Self.input(kind, length: 20, filler: 0))
      let other = try Self.step(b, Self.input(kind, length: 20, filler: 7))
      #expect(one.logits == other.logits, "\(norm)")
      #expect(one.loss == other.loss, "\(norm)")
      #expect(one.gradients == other.gradients, "\(norm)")
      #expect(one.buffers == other.buffers, "\(norm)")
    }
  }

  @Test("nor does it matter how many there are", arguments: attentions, kinds)
  func length(_ attention: String, _ kind: String) throws {
    for norm in ["layer", "batch"] {
      let (a, b) = (try Self.model(attention, kind, norm: norm), try Self.model(attention, kind, norm: norm))
      let one = try Self.step(a, Self.input(kind, length: 13, filler: 0))
      let other = try Self.step(b, Self.input(kind, length: 45, filler: 7))
      #expect(one.loss.rows == other.loss.rows)
      #expect(abs(one.loss.mean - other.loss.mean) < 1e-5, "\(norm)")
      #expect(Self.distance(one.logits.flatMap { $0 }, other.logits.flatMap { $0 }) < 2e-5, "\(norm)")
      #expect(Self.distance(one.gradients, other.gradients) < 1e-4, "\(norm)")
      #expect(Self.distance(one.buffers, other.buffers) < 1e-5, "\(norm)")
    }
  }

  /// The largest difference, relative to the largest number.
  static func distance(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    let size = a.reduce(0) { max($0, $1.magnitude) }
    return zip(a, b).reduce(0) { max($0, ($1.0 - $1.1).magnitude) } / max(size, 1e-30)
  }

  @Test("a masked language model restores no padding, and padding takes no draw")
  func masking() {
    func masked(_ length: Int) -> ModelInput {
      var input = Self.input("encoder", length: length, filler: 9)
      input.tokens = input.tokens.map { $0 }
      return input.masked(maskToken: 11, key: RandomKey(seed: 5))
    }
    let (short, long) = (masked(13), masked(60))
    for (row, count) in [13, 6, 9].enumerated() {
      #expect(long.targets[row * 60 + count..<(row + 1) * 60].allSatisfy { $0 < 0 })
      #expect(long.tokens[row * 60 + count..<(row + 1) * 60].allSatisfy { $0 == 9 })
      #expect(
        long.targets[row * 60..<row * 60 + count].elementsEqual(short.targets[row * 13..<row * 13 + count]))
      #expect(
        long.tokens[row * 60..<row * 60 + count].elementsEqual(short.tokens[row * 13..<row * 13 + count]))
    }
  }
}
