import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

@testable import Attention

/// Forward and backward of the engine against a naive Double loop over the same tile lists.
@Suite struct EngineTests {
  /// What float32 with sums of a few hundred terms may differ by.
  static let tolerance = 2e-6

  static func check(
    _ test: EngineCase, strided: Bool = false, spread: Double = 1, in context: ExecutionContext,
    tolerance: Double = EngineTests.tolerance
  ) throws {
    let inputs = try EngineInputs(test.shape, seed: test.seed, strided: strided, spread: spread)
    let scale = test.shape.effectiveScale
    let expected = NaiveResult(test, inputs, scale: scale)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: test.shape, scale: scale,
      pattern: test.pattern, in: context)
    let name = "\(context.instructionSet), \(test)"
    #expect(relativeError(output, expected.output) < tolerance, "output: \(name)")
    #expect(relativeError(lse, expected.lse) < tolerance, "LSE: \(name)")
    let gradient = try Engine.backward(
      outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: output, lse: lse, shape: test.shape, scale: scale, pattern: test.pattern, in: context)
    #expect(relativeError(gradient.value, expected.value) < tolerance, "dV: \(name)")
    #expect(relativeError(gradient.key, expected.key) < 4 * tolerance, "dK: \(name)")
    #expect(relativeError(gradient.query, expected.query) < 4 * tolerance, "dQ: \(name)")
  }

  @Test(
    "random tiles, every mask and list", arguments: InstructionSet.available, Array(1...12).map(UInt64.init))
  func randomTiles(isa: InstructionSet, seed: UInt64) throws {
    var generator = RandomKey(seed: seed)("shape").generator()
    let dims = [1, 3, 8, 16, 24, 40, 33]
    let group = 1 + generator.integer(below: 2)
    let keyHeads = 1 + generator.integer(below: 2)
    let batch = 1 + generator.integer(below: 2)
    let keys = 1 + generator.integer(below: 210)
    let shape = try AttentionShape(
      batch: batch, queryHeads: keyHeads * group, keyHeads: keyHeads,
      queryLength: 1 + generator.integer(below: 150), keyLength: keys,
      headDim: dims[generator.integer(below: dims.count)],
      valueDim: dims[generator.integer(below: dims.count)],
      isCausal: seed % 2 == 0,
      keyLengths: seed % 3 == 0 ? (0..<batch).map { _ in generator.integer(below: keys + 1) } : nil)
    let test = EngineCase(
      seed: seed, shape: shape, tiles: 1 + generator.integer(below: 5), perHead: seed % 4 == 1)
    try EngineTests.check(
      test, strided: seed % 2 == 1, in: ExecutionContext(threads: 2, instructionSet: isa))
  }

  @Test("head sizes", arguments: InstructionSet.available, [1, 24, 40, 64, 80, 96, 128, 256])
  func headSizes(isa: InstructionSet, dim: Int) throws {
    let shape = try AttentionShape(queryLength: 70, keyLength: 101, headDim: dim)
    try EngineTests.check(
      EngineCase(shape: shape, list: dense(shape)), in: ExecutionContext(threads: 2, instructionSet: isa))
  }

  @Test("tile heights", arguments: InstructionSet.available, [1, 2, 15, 16, 17, 31, 33, 48, 63, 64, 65])
  func tileHeights(isa: InstructionSet, rows: Int) throws {
    let shape = try AttentionShape(queryLength: rows, keyLength: 97, headDim: 16)
    try EngineTests.check(
      EngineCase(shape: shape, list: dense(shape)), in: ExecutionContext(threads: 1, instructionSet: isa))
  }

  @Test(
    "bands that hide keys from some rows of a tile", arguments: InstructionSet.available,
    [(64, 1), (64, 2), (32, 1), (50, 3), (17, 1)])
  func hiddenKeys(isa: InstructionSet, tile: (rows: Int, stride: Int)) throws {
    // Narrow bands, several to a block of keys: parts of it, or all, are hidden from groups of rows of one tile.
    let length = 2 * tile.rows * tile.stride
    let shape = try AttentionShape(queryLength: length, keyLength: 230, headDim: 24, valueDim: 40)
    var list = TileList()
    for first in 0..<tile.stride {
      let segments: [TileList.Segment] = [
        .init(start: 0, count: 40, mask: .band(low: -20, high: 4)),
        .init(start: 40, count: 90, mask: .band(low: -3, high: 9)),
        .init(start: 130, count: first == 0 ? 5 : 0),
        .init(start: 140, count: 3, mask: .band(low: 500, high: 600)),
        .init(start: 150, count: 40, stride: 2, mask: .band(low: -150, high: -120)),
      ]
      list.addTile(start: first, count: tile.rows, stride: tile.stride, segments: segments)
      var scattered = (0..<Int32(tile.rows)).map { Int32(length / 2) + $0 }
      scattered.reverse()
      if first == 0 {
        let keys = list.gathered(
          keys: [9, 100, 3, 77, 229, 64], mask: .band(low: -2, high: Int32(tile.rows / 2)))
        list.addTile(rows: scattered, segments: [keys, segments[1]])
      }
    }
    try EngineTests.check(
      EngineCase(shape: shape, list: list), in: ExecutionContext(threads: 2, instructionSet: isa))
  }

  @Test("huge scores are safe", arguments: InstructionSet.available, [1e2, 1e4, 1e8, 1e12])
  func hugeScores(isa: InstructionSet, spread: Double) throws {
    let shape = try AttentionShape(queryLength: 20, keyLength: 120, headDim: 8)
    let test = EngineCase(shape: shape, list: dense(shape))
    let inputs = try EngineInputs(shape, seed: 3, spread: spread)
    let expected = NaiveResult(test, inputs, scale: shape.effectiveScale)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: shape.effectiveScale,
      pattern: test.pattern, in: ExecutionContext(threads: 1, instructionSet: isa))
    // A score of size s carries an error of s·2⁻²⁴, and the weights that error: only ties could differ at these sizes.
    let tolerance = 1e-6 * max(1, spread)
    #expect(relativeError(lse, expected.lse) < 1e-6)
    #expect(relativeError(output, expected.output) < min(0.01, tolerance))
  }

  @Test("what is not finite goes in without a crash", arguments: InstructionSet.available, [10, 20])
  func notFinite(isa: InstructionSet, rows: Int) throws {
    let shape = try AttentionShape(queryLength: rows, keyLength: 100, headDim: 8)
    let test = EngineCase(shape: shape, list: dense(shape))
    for bad in [Float.nan, .infinity, -.infinity] {
      var inputs = try EngineInputs(shape, seed: 4)
      inputs.key[0, 0, 50, 3] = bad
      inputs.query[0, 0, 2, 3] = 0
      let context = ExecutionContext(threads: 1, instructionSet: isa)
      let (output, lse) = try Engine.forward(
        query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 1,
        pattern: test.pattern, in: context)
      _ = try Engine.backward(
        outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
        output: output, lse: lse, shape: shape, scale: 1, pattern: test.pattern, in: context)
    }
  }

  @Test(
    "a gathered row has the same bits whoever shares its tile", arguments: InstructionSet.available,
    Precision.allCases)
  func gatheredRows(isa: InstructionSet, precision: Precision) throws {
    let shape = try AttentionShape(queryLength: 40, keyLength: 700, headDim: 64, precision: precision)
    let inputs = try EngineInputs(shape.with(precision: .float32), seed: 6)
    let stored = try Operands(query: inputs.query, key: inputs.key, value: inputs.value).converted(
      to: precision)
    var alone: [Float]?
    for count in 1...20 {
      var list = TileList()
      list.addTile(rows: (0..<Int32(count)).map { 2 * $0 }, segments: [.init(start: 0, count: 700)])
      let (output, lse) = try Engine.forward(
        query: stored.query, key: stored.key, value: stored.value, shape: shape, scale: 0.1,
        pattern: TilePattern(shared: list), in: ExecutionContext(threads: 1, instructionSet: isa))
      let row = (0..<64).map { output[0, 0, 0, $0] } + [lse[0, 0, 0]]
      #expect(row == alone ?? row, "\(count) rows")
      alone = alone ?? row
    }
  }

  @Test("rows without keys: 0, −∞ and gradient 0", arguments: InstructionSet.available)
  func emptyRows(isa: InstructionSet) throws {
    var list = TileList()
    list.addTile(start: 0, count: 40, segments: [.init(start: 0, count: 90, mask: .band(low: 10, high: 200))])
    list.addTile(start: 50, count: 3, segments: [])
    let shape = try AttentionShape(batch: 2, queryLength: 60, keyLength: 90, headDim: 8, keyLengths: [90, 0])
    let test = EngineCase(shape: shape, list: list)
    let inputs = try EngineInputs(shape, seed: 5)
    let context = ExecutionContext(threads: 2, instructionSet: isa)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: 1,
      pattern: test.pattern, in: context)
    let gradient = try Engine.backward(
      outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: output, lse: lse, shape: shape, scale: 1, pattern: test.pattern, in: context)
    for row in [0, 9, 45, 51, 59] {
      #expect(lse[0, 0, row] == -.infinity)
      for c in 0..<8 {
        #expect(output[0, 0, row, c] == 0)
        #expect(gradient.query[0, 0, row, c] == 0)
      }
    }
    #expect(lse.array()[60...].allSatisfy { $0 == -.infinity })
    #expect(gradient.key.array()[720...].allSatisfy { $0 == 0 })
    #expect(lse[0, 0, 10].isFinite)
    try EngineTests.check(test, in: context)
  }

  private func dense(_ shape: AttentionShape) -> TileList {
    var list = TileList()
    for start in stride(from: 0, to: shape.queryLength, by: 64) {
      list.addTile(
        start: start, count: min(64, shape.queryLength - start),
        segments: [.init(start: 0, count: shape.keyLength)])
    }
    return list
  }
}
