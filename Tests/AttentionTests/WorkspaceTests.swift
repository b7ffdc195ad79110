import AttentionCore
import Basics
import Tensors
import Testing

@testable import Attention

/// What a pass allocates is what its closed form says and its ledger counts: scratch, partial results, tables, marks and the
/// counters by which workers follow each other.
@Suite struct WorkspaceTests {
  /// A way of working: what it is, how it is recognised, its shape and tiles.
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var shape: AttentionShape
    var list: TileList
    /// Whether workers of these cases follow each other by counters, forward and backward.
    var counts = (forward: false, backward: false)
  }

  static func cases() throws -> [Case] {
    let pipelines = try BackwardPipelineTests.cases().map {
      Case(
        testDescription: "pipeline: \($0)", shape: $0.shape, list: $0.list(), counts: (false, true))
    }
    let window = BackwardPipelineTests.Case(
      testDescription: "", shape: try AttentionShape(queryHeads: 3, queryLength: 700, headDim: 8), behind: 40)
    // Two tiles have rows in common: two phases, which workers take in turn from one queue.
    var twice = TileList()
    for start in stride(from: 0, to: 256, by: 64) {
      twice.addTile(start: start, count: 64, segments: [.init(start: start, count: 64)])
      twice.addTile(start: start, count: 64, segments: [.init(start: 0, count: 9)])
    }
    let halves = BackwardPipelineTests.Case(
      testDescription: "", shape: try AttentionShape(queryHeads: 3, queryLength: 700, headDim: 8))
    return pipelines + [
      Case(
        testDescription: "bfloat16, rows that tiles share", shape: halves.shape.with(precision: .bfloat16),
        list: halves.list(), counts: (false, true)),
      Case(testDescription: "units of a band", shape: window.shape, list: window.list()),
      Case(
        testDescription: "rows of two tiles",
        shape: try AttentionShape(
          queryHeads: 3, queryLength: 256, headDim: 8), list: twice, counts: (true, false)),
    ]
  }

  @Test(
    "the ledger's peak is the closed form and the results, to the byte", arguments: try cases(), [1, 2, 3])
  func exact(test: Case, threads: Int) throws {
    let shape = test.shape, pattern = TilePattern(shared: test.list)
    var inputs = try EngineInputs(shape.with(precision: .float32), seed: 5)
    inputs.query = try inputs.query.converted(to: shape.precision)
    inputs.key = try inputs.key.converted(to: shape.precision)
    inputs.value = try inputs.value.converted(to: shape.precision)
    let ledger = MemoryLedger()
    var context = ExecutionContext(threads: threads, ledger: ledger)
    context.bfloat16Road = .upconvert
    func bytes(_ shapes: [Int]...) -> Int { shapes.reduce(0) { $0 + 4 * $1.reduce(1, *) } }
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 0.3, pattern: pattern,
      in: context)
    let forward = bytes(shape.outputShape, shape.lseShape)
    #expect(ledger.currentBytes == forward)
    #expect(
      ledger.peakBytes - forward
        == Engine.workspaceBytes(of: .forward, shape: shape, pattern: pattern, in: context))
    ledger.resetPeak()
    let gradient = try Engine.backward(
      outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: output, lse: lse, shape: shape, scale: 0.3, pattern: pattern, in: context)
    let backward = bytes(gradient.query.shape, gradient.key.shape, gradient.value.shape)
    #expect(ledger.currentBytes == forward + backward)
    #expect(
      ledger.peakBytes - forward - backward
        == Engine.workspaceBytes(of: .backward, shape: shape, pattern: pattern, in: context))
    // The case is the one that it says it is.
    let plan = Engine.backwardPlan(of: pattern, for: shape, in: context)
    #expect((plan.pipeline != nil) == test.counts.backward)
    let schedule = Engine.forwardSchedule(of: pattern, for: shape, in: context)
    let order = Engine.phaseOrder(of: pattern, schedule, for: shape, in: context)
    #expect(
      (order.map { PhaseQueue.counterCount($0, schedule.works) } ?? 0 > 0)
        == (test.counts.forward && threads > 1))
  }

  @Test("a ledger whose limit is below a pass's tables refuses the pass, and keeps nothing")
  func refused() throws {
    let test = try #require(try BackwardPipelineTests.cases().first)
    let pattern = TilePattern(shared: test.list()), inputs = try EngineInputs(test.shape, seed: 5)
    let whole = Engine.workspaceBytes(of: .backward, shape: test.shape, pattern: pattern)
    let free = ExecutionContext(threads: 1)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: test.shape, scale: 0.3,
      pattern: pattern, in: free)
    let results =
      4
      * [test.shape.queryShape, test.shape.keyShape, test.shape.valueShape].reduce(0) {
        $0 + $1.reduce(1, *)
      }
    for limit in [results + whole, results + whole - 1] {
      let ledger = MemoryLedger(limitBytes: limit)
      func run() throws {
        _ = try Engine.backward(
          outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
          output: output, lse: lse, shape: test.shape, scale: 0.3, pattern: pattern,
          in: ExecutionContext(threads: 1, ledger: ledger))
      }
      if limit == results + whole {
        try run()
      } else {
        #expect(throws: MemoryLimitExceeded.self) { try run() }
      }
      #expect(ledger.currentBytes == 0)
    }
  }
}
