import AttentionCore
import LabTestSupport
import Tensors
import Testing

@testable import Attention

/// Few rows against many keys: the GEMV kernels, KV splits, heads that share a pass over the cache.
@Suite struct EngineDecodeTests {
  @Test("one row of several heads on a key head", arguments: InstructionSet.available, [1, 3, 4, 8, 12])
  func groupedDecode(isa: InstructionSet, group: Int) throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 2 * group, keyHeads: 2, queryLength: 1, keyLength: 300, headDim: 24, valueDim: 40,
      isCausal: true, keyLengths: [300, 120])
    var list = TileList()
    let odd = list.gathered(keys: [7, 9, 9, 200, 299])
    let bits = list.bitMask((0..<20).map { UInt64($0 % 3 == 0 ? 1 : 0) })
    list.addTile(
      start: 0, count: 1,
      segments: [
        .init(start: 0, count: 150), .init(start: 150, count: 150, mask: .band(low: 3, high: 100)), odd,
        .init(start: 10, count: 20, stride: 2, mask: bits), .init(start: 290, count: 10, mask: .notSelf),
      ])
    try EngineTests.check(
      EngineCase(shape: shape, list: list), in: ExecutionContext(threads: 2, instructionSet: isa))
  }

  @Test(
    "runs without a mask are read where they lie", arguments: InstructionSet.available, Array(1...13))
  func directRuns(isa: InstructionSet, rows: Int) throws {
    // 800 keys: more than are computed at once; strided keys, a cut by padding, a run behind it, and a mask between.
    let shape = try AttentionShape(
      batch: 2, queryLength: rows, keyLength: 800, headDim: [64, 43, 128][rows % 3],
      valueDim: rows % 3 == 0 ? 72 : 30, keyLengths: [800, 517])
    var list = TileList()
    list.addTile(
      start: 0, count: rows,
      segments: [
        .init(start: 3, count: 700), .init(start: 1, count: 130, stride: 6),
        .init(start: 0, count: 40, mask: .notSelf), .init(start: 790, count: 10), .init(start: 516, count: 2),
      ])
    for strided in [false, true] {
      try EngineTests.check(
        EngineCase(shape: shape, list: list, seed: UInt64(rows)), strided: strided,
        in: ExecutionContext(threads: 2, instructionSet: isa))
    }
  }

  @Test("a long cache is split along its keys", arguments: [1, 2, 3, 5, 8, 9, 12, 13, 64])
  func splitCache(rows: Int) throws {
    let shape = try AttentionShape(queryLength: rows, keyLength: 5000, headDim: 8)
    var list = TileList()
    list.addTile(start: 0, count: rows, segments: [.init(start: 0, count: 5000)])
    let plan = ForwardPlan(pattern: TilePattern(shared: list), shape: shape, choices: .assumed)
    #expect(plan.lists[0].phases[0].splitTiles.map(\.kvSplits) == [3])
    try EngineTests.check(EngineCase(shape: shape, list: list), in: ExecutionContext(threads: 2))
  }

  @Test(
    "the same bits for any number of threads", arguments: InstructionSet.available,
    [1, 2, 3, 4].map(UInt64.init))
  func threads(isa: InstructionSet, seed: UInt64) throws {
    let shape = try AttentionShape(
      batch: 1, queryHeads: 2, keyHeads: seed % 2 == 0 ? 1 : 2, queryLength: 140, keyLength: 2200, headDim: 8)
    let test = EngineCase(seed: seed, shape: shape, tiles: 6)
    let inputs = try EngineInputs(shape, seed: seed)
    func run(_ threads: Int) throws -> [[Float]] {
      let context = ExecutionContext(threads: threads, instructionSet: isa)
      let (output, lse) = try Engine.forward(
        query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 1,
        pattern: test.pattern, in: context)
      let gradient = try Engine.backward(
        outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
        output: output, lse: lse, shape: shape, scale: 1, pattern: test.pattern, in: context)
      return [output, lse, gradient.query, gradient.key, gradient.value].map { $0.array() }
    }
    let one = try run(1)
    for threads in [2, 3] {
      for (first, other) in zip(one, try run(threads)) {
        #expect(
          first.map(\.bitPattern) == other.map(\.bitPattern), "seed \(seed), \(threads) threads, \(isa)")
      }
    }
  }

  @Test("rows outside the pattern keep what they had")
  func intoExisting() throws {
    let shape = try AttentionShape(queryLength: 12, keyLength: 30, headDim: 8)
    let inputs = try EngineInputs(shape, seed: 2)
    var list = TileList()
    list.addTile(start: 2, count: 3, stride: 4, segments: [.init(start: 0, count: 30)])
    var output = try Tensor([Float](repeating: 7, count: 96), shape: shape.outputShape)
    var lse = try Tensor([Float](repeating: 7, count: 12), shape: shape.lseShape)
    try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 1,
      pattern: TilePattern(shared: list), into: &output, lse: &lse, in: ExecutionContext(threads: 1))
    for row in 0..<12 {
      #expect((lse[0, 0, row] == 7) == ![2, 6, 10].contains(row))
      #expect((output[0, 0, row, 3] == 7) == ![2, 6, 10].contains(row))
    }
  }

  @Test("a cancelled pass stops")
  func cancellation() throws {
    let shape = try AttentionShape(queryLength: 200, keyLength: 200, headDim: 8)
    let inputs = try EngineInputs(shape, seed: 2)
    var list = TileList()
    for start in stride(from: 0, to: 192, by: 64) {
      list.addTile(start: start, count: 64, segments: [.init(start: 0, count: 200)])
    }
    let cancellation = Cancellation()
    cancellation.cancel()
    #expect(throws: CancellationRequested.self) {
      try Engine.forward(
        query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 1,
        pattern: TilePattern(shared: list), in: ExecutionContext(threads: 2, cancellation: cancellation))
    }
  }

  @Test("forward workspace does not grow with n; the ledger is empty afterwards")
  func workspace() throws {
    func peak(_ n: Int) throws -> Int {
      let shape = try AttentionShape(queryLength: n, headDim: 8)
      let inputs = try EngineInputs(shape, seed: 2)
      var list = TileList()
      for start in stride(from: 0, to: n, by: 64) {
        list.addTile(start: start, count: 64, segments: [.init(start: start, count: 64)])
      }
      let ledger = MemoryLedger()
      let context = ExecutionContext(threads: 2, ledger: ledger)
      do {
        _ = try Engine.forward(
          query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 1,
          pattern: TilePattern(shared: list), in: context)
      }
      #expect(ledger.currentBytes == 0)
      return ledger.peakBytes - 4 * n * 9
    }
    let (short, long) = (try peak(16384), try peak(32768))
    #expect(short == long)
  }
}
