import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Longformer's separate global projections: global rows alone read them, and they start as the layer's own.
@Suite struct GlobalProjectionTests {
  static let sparse = ParameterValue.string(
    "local-global(left=2, right=1, global_tokens=1, global_positions=[4])")

  static func model(
    _ changes: [String: ParameterValue], separate: Bool = true, noise: Float = 0
  ) throws -> TransformerModel {
    var settings = changes
    settings["attention"] = settings["attention"] ?? sparse
    settings["global_projections"] = .string(separate ? "separate" : "tied")
    let model = try TransformerModel(
      GradientTests.configuration(settings), catalog: .standard, context: .recycling(threads: 1))
    if noise > 0 {
      let change = try Tensor.normal(
        [model.layout.count], key: RandomKey(seed: 8), standardDeviation: Double(noise))
      model.context.accumulate(change, into: &model.state.weights)
    }
    return model
  }

  /// Adds noise to the global projections alone.
  static func disturb(_ model: TransformerModel) throws {
    for slot in model.layout.slots where slot.name.contains("_global.") {
      let change = try Tensor.normal([slot.count], key: RandomKey(seed: 8)(slot.name), standardDeviation: 0.3)
      model.context.accumulate(change, into: &model.state.weights, at: slot.offset)
    }
  }

  static let kinds: [[String: ParameterValue]] = [
    ["key_heads": .int(1)],
    ["position": .string("alibi")],
    ["kind": .string("encoder"), "position": .string("rope-interleaved")],
    ["kind": .string("encoder"), "classes": .int(4), "bias": .bool(false), "position": .string("learned")],
    ["kind": .string("encoder-decoder"), "position": .string("sinusoidal")],
  ]

  @Test(arguments: kinds)
  func startsAsTheTiedModel(_ changes: [String: ParameterValue]) throws {
    let tied = try Self.model(changes, separate: false), separate = try Self.model(changes)
    let input = GradientTests.input(tied.configuration)
    // A product of few rows adds in another order than one of many: the same numbers, not the same bits.
    let logits = zip(try separate.logits(input).array(), try tied.logits(input).array())
    let largest = logits.reduce(0) { max($0, abs($1.1)) }
    #expect(logits.allSatisfy { abs($0 - $1) <= 2e-6 * largest })
    _ = try tied.accumulateGradients(input, key: RandomKey(seed: 1))
    _ = try separate.accumulateGradients(input, key: RandomKey(seed: 1))
    let expected = tied.namedGradients(), found = separate.namedGradients()
    for (name, tensor) in expected {
      // A tied weight serves both kinds of rows: its gradient is the sum of the two.
      let parts = name.split(separator: ".").map(String.init)
      let second = (parts.dropLast() + [parts[parts.count - 1]]).enumerated().map {
        $0.offset == parts.count - 2 ? $0.element + "_global" : $0.element
      }.joined(separator: ".")
      let a = try #require(found[name]).array()
      let sum = zip(a, found[second]?.array() ?? a.map { _ in 0 }).map { Double($0) + Double($1) }
      let scale = tensor.array().map { abs(Double($0)) }.max() ?? 0
      let gap = zip(sum, tensor.array()).map { abs($0 - Double($1)) }.max() ?? 0
      // Float32 sums of some hundred terms in another order.
      #expect(gap <= 2e-6 * scale + 1e-8, "\(name): \(gap) of \(scale)")
    }
  }

  @Test func localRowsDoNotReadThem() throws {
    let model = try Self.model(["kind": .string("encoder"), "layers": .int(1)])
    let input = ModelInput(batch: 2, tokens: (0..<14).map { Int32($0 * 3 % 11) })
    let before = try model.logits(input).array()
    try Self.disturb(model)
    let after = try model.logits(input).array()
    for row in 0..<14 {
      let isSame = before[row * 11..<(row + 1) * 11] == after[row * 11..<(row + 1) * 11]
      #expect(isSame == ![0, 4].contains(row % 7), "row \(row)")
    }
  }

  @Test func namesAndCounts() throws {
    let changes: [String: ParameterValue] = [
      "key_heads": .int(1), "attention": .string("local-global, full"),
    ]
    let tied = try Self.model(changes, separate: false), separate = try Self.model(changes)
    let names = Set(separate.layout.slots.map(\.name)).subtracting(tied.layout.slots.map(\.name))
    let prefix = "decoder.layers.0.attention"
    #expect(
      names
        == Set(
          ["query", "key", "value"].flatMap { part in
            ["weight", "bias"].map { "\(prefix).\(part)_global.\($0)" }
          }))
    // Width 12, two heads of 6, one key head: (12 + 6 + 6)·(12 + 1).
    #expect(separate.parameterCount - tied.parameterCount == 24 * 13)
    #expect(separate.nonEmbeddingParameterCount - tied.nonEmbeddingParameterCount == 24 * 13)
    #expect(
      separate.namedWeights()["\(prefix).value_global.weight"]?.array()
        == separate.namedWeights()["\(prefix).value.weight"]?.array())
  }

  @Test func operationsCountTheRowsThatAreProjected() throws {
    func difference(_ kind: String) throws -> Double {
      let changes: [String: ParameterValue] = [
        "kind": .string(kind), "key_heads": .int(1), "layers": .int(1),
      ]
      let input = ModelInput(batch: 3, tokens: [Int32](repeating: 1, count: 21))
      return try Self.model(changes).trainingOperations(input)
        - Self.model(changes, separate: false).trainingOperations(input)
    }
    // Forward and twice that backward; 3 sequences of 7 with rows 0 and 4 global; q is 12 wide, k and v 6 each.
    let one = 3.0 * 2 * 12
    #expect(try difference("encoder") == one * (3 * 2 * 12 + 21 * 12))
    // The last global row of a causal layer sees keys 0 … 4.
    #expect(try difference("decoder") == one * (3 * 2 * 12 + 3 * 5 * 12))
  }

  @Test func bytesCountTheSecondSet() throws {
    let input = ModelInput(batch: 3, tokens: [Int32](repeating: 1, count: 21))
    let tied = try Self.model([:], separate: false), separate = try Self.model([:])
    // q, k and v, 12 wide, of 21 rows.
    let set = 3.0 * 4 * 12 * 21
    for (pass, count) in [(PassKind.forward, 1.0), (.backward, 2.0)] {
      let more = try separate.attentionBytes(input, pass: pass) - tied.attentionBytes(input, pass: pass)
      #expect(more == count * set)
    }
  }

  @Test(arguments: [true, false]) func closedFormIsWhatTheLedgerCounts(_ isSeparate: Bool) throws {
    let length = 2048
    let model = try Self.model(
      [
        "attention": .string("local-global(left=64, right=64, global_tokens=80)"), "kind": .string("encoder"),
        "width": .int(64), "layers": .int(1), "maximum_length": .int(length), "key_heads": .int(1),
      ], separate: isSeparate)
    let input = ModelInput(batch: 1, tokens: [Int32](repeating: 1, count: length))
    guard case .attention(let layer)? = model.encoder?.sublayers.first?.function else {
      Issue.record("the first sublayer is attention")
      return
    }
    let shape = try layer.shape(batch: 1, queries: length, keys: length, keyLengths: nil)
    let plan = try model.planner.plan(layer.attention, layer: layer.name, shape: shape)
    let ledger = MemoryLedger(), context = ExecutionContext(threads: 1, ledger: ledger)
    func drawn(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
      try .normal(shape, key: RandomKey(seed: seed), ledger: ledger)
    }
    var inputs = Operands(
      query: try drawn(shape.queryShape, 1), key: try drawn(shape.keyShape, 2),
      value: try drawn(shape.valueShape, 3))
    if isSeparate {
      inputs["query_global"] = try drawn(shape.queryShape, 4)
      inputs["key_global"] = try drawn(shape.keyShape, 5)
      inputs["value_global"] = try drawn(shape.valueShape, 6)
    }
    let forward = try plan.forward(inputs, in: context)
    let forwardPeak = Double(ledger.peakBytes)
    let gradient = try drawn(shape.outputShape, 7)
    ledger.resetPeak()
    _ = try forward.backward(gradient, in: context)
    let backwardPeak = Double(ledger.peakBytes)
    // Exact when tied; global rows have a pass of their own, whose scratch the form of all tiles covers, and with it the copies of
    // blocks that many tiles of the whole pattern see, which the passes alone do not need (0.84 … 0.96).
    for (pass, peak) in [(PassKind.forward, forwardPeak), (.backward, backwardPeak)] {
      let ratio = try peak / model.attentionBytes(input, pass: pass)
      #expect(
        (isSeparate ? 0.8...1 : 1...1).contains(ratio), "\(pass): \(peak), \(ratio) of the closed form")
    }
  }

  @Test func otherAttentionKeepsDropsOrCopies() throws {
    let model = try Self.model(["attention": .string("local-global(left=2), full")])
    try Self.disturb(model)
    let names = { (model: TransformerModel) in
      model.layout.slots.map(\.name).filter { $0.hasSuffix("query_global.weight") }
    }
    let own = model.namedWeights()
    let full = try model.replacingAttention("full")
    #expect(full.configuration.attention == "full" && names(full).isEmpty)
    #expect(
      full.namedWeights()["decoder.norm.weight"]?.array() == own["decoder.norm.weight"]?.array())
    let both = try model.replacingAttention("local-global(left=1)")
    let prefixes = (0...1).map { "decoder.layers.\($0).attention" }
    #expect(names(both) == prefixes.map { $0 + ".query_global.weight" })
    let found = both.namedWeights()
    #expect(
      found[prefixes[0] + ".key_global.weight"]?.array() == own[prefixes[0] + ".key_global.weight"]?.array())
    #expect(found[prefixes[1] + ".key_global.weight"]?.array() == own[prefixes[1] + ".key.weight"]?.array())
    // Back again: nothing was lost on the way.
    let back = try both.replacingAttention("local-global(left=2), full")
    #expect(back.state.weights.array() == model.state.weights.array())
    let swapped = try model.replacingAttention("full, local-global(left=2)")
    #expect(names(swapped) == [prefixes[1] + ".query_global.weight"])
  }

  @Test func resumesToTheSameBits() throws {
    let settings: [String: ParameterValue] = [
      "attention": .string("local-global(left=1, global_tokens=2)"),
      "global_projections": .string("separate"),
      "dropout": .double(0.1),
    ]
    let run = try ResumedTraining { try TrainerTests.trainer([:], model: settings) }
    let (whole, first, path) = (run.whole, run.first, run.path)
    try run.finish()
    let read = try TransformerModel(contentsOf: path, catalog: .standard)
    #expect(read.configuration == first.model.configuration)
    // Trained apart: the two kinds of rows have moved away from each other.
    let weights = whole.model.namedWeights(), prefix = "decoder.layers.0.attention"
    #expect(weights[prefix + ".query.weight"]?.array() != weights[prefix + ".query_global.weight"]?.array())
    let tied = try TrainerTests.trainer(
      [:], model: settings.merging(["global_projections": .string("tied")]) { $1 })
    #expect(throws: SafetensorsError.self) { try tied.resume(from: path) }
  }

  @Test func aFileThatDoesNotNameThemIsTied() throws {
    let scratch = try Scratch(), path = scratch("checkpoint.safetensors")
    let settings = ["attention": ParameterValue.string("local-global(left=1)")]
    try TrainerTests.trainer([:], model: settings).save(to: path)
    try TrainerTests.trainer([:], model: settings).resume(from: path)
    #expect(
      try TransformerModel(contentsOf: path, catalog: .standard).configuration.attention
        == "local-global(left=1)")
    let separate = try TrainerTests.trainer(
      [:], model: settings.merging(["global_projections": .string("separate")]) { $1 })
    let error = #expect(throws: SafetensorsError.self) { try separate.resume(from: path) }
    #expect(
      error?.problem == "the checkpoint has model.attention = local-global(left=1); this run has "
        + "local-global(left=1, projections=separate)")
  }

  /// What stood in a checkpoint while the projections were a setting of the whole model.
  @Test(arguments: ["tied", "separate"]) func olderCheckpointsAreReadAndContinued(_ kind: String) throws {
    let scratch = try Scratch(), path = scratch("checkpoint.safetensors")
    let settings: [String: ParameterValue] = [
      "attention": .string("local-global(left=1), full"), "global_projections": .string(kind),
      "layers": .int(2),
    ]
    let trainer = try TrainerTests.trainer([:], model: settings)
    for _ in 0..<3 { _ = try trainer.advance() }
    try trainer.save(to: path)
    var file = try Safetensors(contentsOf: path)
    file.metadata["model.global_projections"] = kind
    file.metadata["model.attention"] = "local-global(left=1), full"
    try file.write(to: path)
    let read = try TransformerModel(contentsOf: path, catalog: .standard)
    #expect(read.configuration == trainer.model.configuration)
    #expect(read.state.weights.array() == trainer.model.state.weights.array())
    let again = try TrainerTests.trainer([:], model: settings)
    try again.resume(from: path)
    #expect(again.step == 3)
    let names = read.layout.slots.map(\.name).filter { $0.contains("_global.") }
    #expect(names.count == (kind == "separate" ? 6 : 0))
  }

  @Test func aStepAllocatesNothingAfterTheFirst() throws {
    let trainer = try TrainerTests.trainer(
      ["evaluate_every": .int(0)],
      model: [
        "attention": .string("local-global(left=1, global_tokens=2)"),
        "global_projections": .string("separate"),
      ], threads: 2)
    for _ in 0..<2 { _ = try trainer.advance() }
    let before = trainer.model.context.ledger?.systemAllocations
    for _ in 0..<4 { _ = try trainer.advance() }
    #expect(trainer.model.context.ledger?.systemAllocations == before)
  }

  @Test(arguments: [
    ["position": ParameterValue.string("rope")],
    // The last global position is behind the prompt's end.
    ["attention": .string("local-global(left=2, global_tokens=1, global_positions=[5 3]), full")],
    ["position": .string("alibi"), "key_heads": .int(1)],
    ["position": .string("learned"), "residual": .string("post")],
    ["kind": .string("encoder-decoder"), "position": .string("sinusoidal")],
    ["residual": .string("reversible")],
  ])
  func cachedLogitsAreThoseOfTheWholeSequence(_ changes: [String: ParameterValue]) throws {
    let base: [String: ParameterValue] = [
      "attention": .string("local-global(left=2, global_tokens=6), full"), "maximum_length": .int(16),
      "tied": .bool(false),
    ]
    let model = try Self.model(base.merging(changes) { $1 }, noise: 0.1)
    let decoder = try #require(model.decoder)
    let source: [Int32] = model.configuration.kind == .encoderDecoder ? [3, 1, 4, 1] : []
    let tokens: [Int32] = [5, 2, 8, 1, 7, 3, 9, 4, 6, 10]
    // Of the prompt's rows some are global or all; the others come one by one.
    for prompt in [2, 8] {
      let state = try #require(try Decoding(model, decoder: decoder, source: source))
      for count in prompt...tokens.count {
        let given = count == prompt ? Array(tokens[..<prompt]) : [tokens[count - 1]]
        let found = try state.advance(given)
        let whole = try model.logits(ModelInput(batch: 1, tokens: Array(tokens[..<count]), source: source))
        let expected = whole.array().suffix(11)
        let scale = expected.map { abs($0) }.max() ?? 0
        let gap = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
        // One query goes through another kernel than many: rounding, nothing else.
        #expect(gap <= 2e-5 * scale, "\(prompt) \(count): \(gap) of \(scale)")
        // k and v of the full layer; of the other the six rows up to the last global one and the window of two; and once
        // more until that row.
        let kept = count + min(count, 6 + 2)
        let row = 2 * 4 * 6 * model.configuration.effectiveKeyHeads
        let extended =
          model.configuration.position == .alibi ? 4 * kept + (count < 6 ? 4 * count : 0) : 0
        #expect(state.stateBytes == row * (kept + (count < 6 ? count : 0)) + extended)
      }
    }
  }

  @Test func aPlanSaysWhichRowsAreRead() throws {
    let settings: [String: ParameterValue] = [
      "global_tokens": .int(2), "global_positions": .list([5, 3]), "projections": .string("separate"),
    ]
    func rows(_ queries: Int, _ keys: Int, _ isCausal: Bool) throws -> [[Int]?] {
      let shape = try AttentionShape(
        queryLength: queries, keyLength: keys, headDim: 4, isCausal: isCausal)
      let plan = try LocalGlobal.make(settings: settings, shape: shape, key: RandomKey(seed: 1))
      #expect(plan.globalRows == (0..<queries).filter { plan.isGlobal(row: $0) })
      #expect(plan.rows(of: .query) == nil && plan.rows(of: "value_global") == plan.rows(of: "key_global"))
      return [plan.rows(of: "query_global"), plan.rows(of: "key_global")]
    }
    #expect(try rows(7, 7, false) == [[0, 1, 3, 5], nil])
    #expect(try rows(7, 7, true) == [[0, 1, 3, 5], [0, 1, 2, 3, 4, 5]])
    #expect(try rows(3, 7, true) == [[1], [0, 1, 2, 3, 4, 5]])
    #expect(try rows(1, 7, true) == [[], []])
  }
}
