import AttentionCore
import Basics
import Tensors
import Testing

@testable import Attention

/// Dense backward passes: stripes of tiles follow each other through the keys.
@Suite struct BackwardPipelineTests {
  /// A case that is a pipeline: what it is, its shape and, for every tile, the keys that it sees.
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var shape: AttentionShape
    /// Keys behind and ahead of a row; sinks: the first keys, seen by all.
    var behind = Int.max, ahead = 0, sinks = 0, stride = 1

    func list() -> TileList {
      var list = TileList()
      let (n, m) = (shape.queryLength, shape.keyLength)
      for start in Swift.stride(from: 0, to: n, by: 64) {
        let count = min(64, n - start), position = start + shape.queryOffset
        let low = behind == .max ? 0 : max(sinks, position - behind)
        let high = ahead == .max ? m : min(m, position + count + ahead)
        var segments: [TileList.Segment] = []
        if sinks > 0 { segments.append(.init(start: 0, count: sinks)) }
        let mask = TileList.Mask.band(
          low: ahead == .max ? Int32(-m) : Int32(-ahead), high: behind == .max ? Int32(n + m) : Int32(behind))
        // Keys a step apart, one residue after another.
        for first in low..<max(low, min(high, low + stride)) {
          segments.append(
            .init(start: first, count: (high - first + stride - 1) / stride, stride: stride, mask: mask))
        }
        list.addTile(start: start, count: count, segments: segments)
      }
      return list
    }
  }

  static func cases() throws -> [Case] {
    [
      .init(
        testDescription: "full", shape: try AttentionShape(queryLength: 333, keyLength: 333, headDim: 8),
        ahead: .max),
      .init(
        testDescription: "causal, grouped heads",
        shape: try AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 333, keyLength: 333, headDim: 8)),
      .init(
        testDescription: "wide window with sinks, two sequences of different length",
        shape: try AttentionShape(
          batch: 2, queryLength: 400, keyLength: 400, headDim: 8, keyLengths: [170, 400]),
        behind: 200, ahead: 90, sinks: 3),
      .init(
        testDescription: "keys a step apart",
        shape: try AttentionShape(queryLength: 300, keyLength: 300, headDim: 8), ahead: .max, stride: 3),
      .init(
        testDescription: "more keys than queries, the last unseen",
        shape: try AttentionShape(queryLength: 200, keyLength: 390, headDim: 8), behind: 250, ahead: 100),
    ]
  }

  private func backward(_ test: EngineCase, _ inputs: EngineInputs, threads: Int) throws -> (Operands, Int) {
    let ledger = MemoryLedger()
    let context = ExecutionContext(threads: threads, ledger: ledger)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: test.shape, scale: 0.3,
      pattern: test.pattern, in: context)
    ledger.resetPeak()
    let gradient = try Engine.backward(
      outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: output, lse: lse, shape: test.shape, scale: 0.3, pattern: test.pattern, in: context)
    return (gradient, ledger.peakBytes)
  }

  @Test("the definition, and the same bits for any number of threads", arguments: try cases())
  func bits(test: Case) throws {
    let engine = EngineCase(shape: test.shape, list: test.list())
    let plan = BackwardPlan(pattern: engine.pattern, shape: test.shape, choices: .assumed)
    #expect(plan.pipeline != nil && plan.accumulatorCount == 0)
    let inputs = try EngineInputs(test.shape, seed: 5)
    let expected = NaiveResult(engine, inputs, scale: 0.3)
    let (one, _) = try backward(engine, inputs, threads: 1)
    #expect(relativeError(one.query, expected.query) < 1e-6)
    #expect(relativeError(one.key, expected.key) < 1e-6)
    #expect(relativeError(one.value, expected.value) < 1e-6)
    for threads in [2, 3, 5, 8, 17, 64] {
      let (many, _) = try backward(engine, inputs, threads: threads)
      #expect(many.query.array() == one.query.array(), "dQ, \(threads) threads")
      #expect(many.key.array() == one.key.array(), "dK, \(threads) threads")
      #expect(many.value.array() == one.value.array(), "dV, \(threads) threads")
    }
  }

  @Test("KV blocks of 192 keys: the dense reference, and the same bits", arguments: [false, true])
  func longRows(causal: Bool) throws {
    let shape = try AttentionShape(queryLength: 2100, headDim: 8, isCausal: causal)
    let inputs = try EngineInputs(shape, seed: 6)
    func gradients(_ name: String, threads: Int) throws -> Operands {
      let variant = try Catalog.standard.make(name, shape: shape, key: RandomKey(seed: 1))
      let context = ExecutionContext(threads: threads)
      let qkv = Operands(query: inputs.query, key: inputs.key, value: inputs.value)
      return try variant.forward(qkv, in: context).backward(inputs.outputGradient, in: context)
    }
    let one = try gradients("full", threads: 1), four = try gradients("full", threads: 4)
    let dense = try gradients("full-materialized", threads: 2)
    for (name, part) in [("query", \Operands.query), ("key", \.key), ("value", \.value)] {
      #expect(one[keyPath: part].array() == four[keyPath: part].array(), "\(name)")
      let reference = dense[keyPath: part].array().map(Double.init)
      #expect(relativeError(one[keyPath: part], reference) < 2e-6, "\(name)")
    }
  }

  @Test("row stripes hold every tile once, the last first, for any number of threads")
  func stripes() throws {
    let shape = try AttentionShape(
      queryHeads: 6, keyHeads: 3, queryLength: 3000, keyLength: 3000, headDim: 64)
    var test = Case(testDescription: "", shape: shape)
    test.ahead = .max
    let pattern = TilePattern(shared: test.list())
    let plan = BackwardPlan(pattern: pattern, shape: shape, choices: .assumed)
    let pipeline = try #require(plan.pipeline)
    #expect(plan.group == ProcessorChoices.assumed.backwardTiles)
    for threads in [1, 2, 3, 4, 7, 16, 64, 500] {
      let size = pipeline.stripeTiles(limit: plan.group, heads: 3, threads: threads)
      let stripes = pipeline.stripes(pattern: pattern, shape: shape, tiles: size, threads: threads)
      for group in 0..<3 {
        let own = stripes.filter { $0.group == group }
        #expect(own.map(\.stage) == Array(own.indices))
        let tiles = own.flatMap { stripe in stripe.tiles.reversed().map { stripe.head * 47 + $0 } }
        let wanted = [2 * group, 2 * group + 1].flatMap { head in (0..<47).reversed().map { head * 47 + $0 } }
        #expect(tiles == wanted, "\(threads) threads")
        #expect(own.allSatisfy { $0.tiles.count <= size })
      }
      if threads <= 24 { #expect(stripes.count >= 2 * threads, "\(threads) threads get too few stripes") }
    }
  }

  @Test("workspace of a dense pass does not grow with n")
  func workspace() throws {
    func workspace(_ n: Int) throws -> Int {
      let shape = try AttentionShape(queryLength: n, keyLength: n, headDim: 8)
      var test = Case(testDescription: "", shape: shape)
      test.ahead = .max
      let inputs = try EngineInputs(shape, seed: 7)
      let (_, peak) = try backward(EngineCase(shape: shape, list: test.list()), inputs, threads: 1)
      // q, k, v, dO, o, LSE; dQ, dK, dV.
      return peak - 4 * n * (8 * 8 + 1)
    }
    let (short, long) = (try workspace(1100), try workspace(2040))
    #expect(long <= short, "\(short) bytes at n = 1100, \(long) at 2040")
  }
}
