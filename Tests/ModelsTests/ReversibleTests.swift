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

/// Reversible stacks compute what two plain streams compute, give the gradients of the stored stack, and hold no more for
/// eight blocks than for two.
@Suite struct ReversibleTests {
  static let base: [String: ParameterValue] = [
    "vocabulary": .int(11), "width": .int(16), "layers": .int(2), "heads": .int(2), "hidden": .int(24),
    "maximum_length": .int(32), "seed": .int(3), "residual": .string("reversible"),
  ]

  static func model(
    _ changes: [String: ParameterValue], context: ExecutionContext = .recycling(threads: 1)
  ) throws -> TransformerModel {
    try TransformerModel(
      ModelConfiguration(settings: base.merging(changes) { $1 }), catalog: .standard, context: context)
  }

  /// The same function as the reversible stack, with every activation stored.
  private static func stored(_ stack: Stack, _ x: Tensor, _ run: LayerRun) throws -> (
    output: [Tensor], pullback: ([Tensor]) throws -> Tensor
  ) {
    var streams = [x, x]
    var pullbacks: [Pullback] = []
    for sublayer in stack.sublayers {
      let (sum, pullback) = try sublayer.branch(streams[1], adding: streams[0], run)
      pullbacks.append(pullback)
      streams = [streams[1], sum]
    }
    let pullback = { (gradients: [Tensor]) in
      var (target, source) = (gradients[0], gradients[1])
      for pullback in pullbacks.reversed() {
        (target, source) = (source, try pullback(source, adding: target))
      }
      return try run.context.add(target, source)
    }
    return (streams, pullback)
  }

  @Test(
    "outputs are those of the stored streams bit for bit, gradients those of its way back up to rounding",
    arguments: [
      [:], ["dropout": ParameterValue.double(0.3)], ["attention": .string("chunked(chunk=4), full")],
      ["norm": .string("batch"), "dropout": .double(0.1)],
      ["feed_forward": .string("swiglu"), "layers": .int(5)],
      ["kind": .string("encoder"), "position": .string("learned"), "layers": .int(3)],
    ])
  func gradientsAreThoseOfTheStoredStack(_ changes: [String: ParameterValue]) throws {
    let model = try Self.model(changes), context = model.context
    let stack = try #require(model.decoder ?? model.encoder)
    let key = RandomKey(seed: 8)
    let noise = try Tensor.normal([model.layout.count], key: key("noise"), standardDeviation: 0.1)
    context.accumulate(noise, into: &model.state.weights)
    let x = try Tensor.normal([2 * 9, 16], key: key("x")),
      dy = try Tensor.normal([2 * 9, 16], key: key("dy"))
    let lengths = model.configuration.kind == .encoder ? [9, 6] : nil
    let run = model.layerRun(training: true, key: key("dropout")).over(batch: 2, lengths: lengths)

    let buffers = model.state.buffers
    let (y, pullback) = try stack.reversible(x, run)
    let moved = model.state.buffers
    let dx = try pullback(dy).array(), gradients = model.state.gradients.array()
    // Running moments move once, although every branch ran twice.
    #expect(model.state.buffers == moved)

    model.state.buffers = buffers
    model.clearGradients()
    let (streams, storedPullback) = try Self.stored(stack, x, run)
    #expect(model.state.buffers == moved)
    #expect(y.array() == zip(streams[0].array(), streams[1].array()).map { 0.5 * $0 + 0.5 * $1 })
    let half = try context.blend(0.25, dy, 0.25, dy)
    let expected = try storedPullback([half, half]).array()
    // A stream comes back by x = (x + f) − f: an error of 2^-24 of its size a sublayer, through few layers.
    func compare(_ found: [Float], _ expected: [Float], _ name: String) {
      let scale = expected.map { abs($0) }.max() ?? 0
      let gap = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
      #expect(gap <= 3e-5 * scale, "\(name): \(gap) of \(scale)")
    }
    compare(dx, expected, "x")
    let storedGradients = model.state.gradients.array()
    for slot in model.layout.slots where slot.name.contains(".layers.") {
      // A key's bias moves all scores of a row alike: its gradient is rounding alone.
      guard !slot.name.hasSuffix(".key.bias") else { continue }
      compare(Array(gradients[slot.range]), Array(storedGradients[slot.range]), slot.name)
    }
  }

  /// The most bytes that are live at once in a step, or in an evaluation.
  private static func peak(
    _ changes: [String: ParameterValue], depth: Int, isEvaluation: Bool = false
  ) throws -> Int {
    let ledger = MemoryLedger(), context = ExecutionContext(threads: 1, ledger: ledger)
    var settings = changes
    settings["layers"] = .int(depth)
    let model = try model(settings, context: context)
    let tokens = (0..<64).map { Int32($0 % 11) }
    let input = ModelInput(batch: 2, tokens: tokens, targets: tokens)
    ledger.resetPeak()
    let before = ledger.currentBytes
    if isEvaluation {
      _ = try model.loss(input)
    } else {
      _ = try model.accumulateGradients(input, key: RandomKey(seed: 1))
    }
    #expect(ledger.currentBytes == before)
    return ledger.peakBytes - before
  }

  @Test(
    "a step holds as much at any depth",
    arguments: [
      [:], ["dropout": ParameterValue.double(0.2)], ["attention": .string("sliding-window(left=4)")],
      ["feed_forward": .string("swiglu"), "reversible_output": .string("concat"), "tied": .bool(false)],
    ])
  func memoryIsIndependentOfDepth(_ changes: [String: ParameterValue]) throws {
    let peaks = try [2, 4, 8].map { try Self.peak(changes, depth: $0) }
    #expect(peaks[1] == peaks[0] && peaks[2] == peaks[0], "\(peaks)")
    var plain = changes
    plain.merge(["residual": .string("pre"), "reversible_output": .string("mean")]) { $1 }
    let grown = try [2, 4, 8].map { try Self.peak(plain, depth: $0) }
    // A plain stack keeps the same bytes for every block more: x, both norms, q, k, v, the outputs of heads, feed-forward's
    // inner rows. Nobody moves the outputs into rows.
    #expect(grown[2] - grown[1] == 2 * (grown[1] - grown[0]), "\(grown)")
    #expect(grown[1] - grown[0] >= 2 * 4 * 64 * (8 * 16 + 2 * 24), "\(grown)")
    #expect(peaks[2] < grown[1])
  }

  @Test("an evaluation holds as much at any depth", arguments: ["pre", "post", "reversible"])
  func evaluationKeepsNothing(_ residual: String) throws {
    let peaks = try [2, 4, 8].map {
      try Self.peak(["residual": .string(residual)], depth: $0, isEvaluation: true)
    }
    #expect(peaks[1] == peaks[0] && peaks[2] == peaks[0], "\(peaks)")
  }

  @Test func chunkedFeedForwardHoldsAChunk() throws {
    let wide: [String: ParameterValue] = ["hidden": .int(1024)]
    let whole = try Self.peak(wide, depth: 4)
    let chunked = try Self.peak(wide.merging(["feed_forward_chunk": .int(16)]) { $1 }, depth: 4)
    // Two tensors of 64 rows, 1024 wide, become two of 16.
    #expect(whole - chunked >= 2 * 4 * 1024 * 32, "\(whole) \(chunked)")
    let models = try [0, 16].map { try Self.model(["feed_forward_chunk": .int($0)]) }
    let tokens = (0..<64).map { Int32($0 % 11) }
    let input = ModelInput(batch: 2, tokens: tokens, targets: tokens)
    for model in models { _ = try model.accumulateGradients(input, key: RandomKey(seed: 1)) }
    let (a, b) = (models[0].state.gradients.array(), models[1].state.gradients.array())
    let scale = a.map { abs($0) }.max() ?? 0
    #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-5 * scale })
    #expect(scale > 0)
  }

  @Test func itIsTrainedSavedAndResumed() throws {
    let model: [String: ParameterValue] = ["residual": .string("reversible"), "dropout": .double(0.1)]
    let long = try TrainerTests.trainer(
      ["steps": .int(120), "evaluate_every": .int(60), "learning_rate": .double(0.01)], model: model)
    while !long.isFinished { _ = try long.advance() }
    #expect((long.evaluations.last?.trainLoss ?? .infinity) < (long.evaluations.first?.trainLoss ?? 0))
    let run = try ResumedTraining { try TrainerTests.trainer([:], model: model) }
    try run.finish()
    let read = try TransformerModel(contentsOf: run.path, catalog: .standard)
    #expect(read.configuration.residual == .reversible)
  }

  @Test func settingsThatDoNotFitAreRefused() throws {
    #expect {
      try Self.model(["reversible_output": .string("concat")])
    } throws: { "\($0)".contains("reversible_output: concat") && "\($0)".contains("tied=false") }
  }

  @Test func theFormerNameIsStillRead() throws {
    let old = try ModelConfiguration(settings: ["placement": .string("post")])
    #expect(old.residual == .post && old.settings["residual"] == .string("post"))
    #expect(throws: ConfigurationError.self) {
      try ModelConfiguration(settings: ["placement": .string("post"), "residual": .string("pre")])
    }
    let metadata = ["format": "attnlab", "model.placement": "post", "model.width": "16"]
    #expect(try ModelConfiguration(metadata: metadata, path: "old", in: .standard).residual == .post)
    #expect(ModelConfiguration.renamed(metadata: metadata)["model.residual"] == "post")
  }
}
