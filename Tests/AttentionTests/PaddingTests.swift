import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention
@testable import AttentionCore

/// What padding may do to valid rows: nothing. The conformance check tries every variant within the rounding that another
/// layout of tiles may cost; here it is the bits, where the layout is the same.
@Suite struct PaddingTests {
  static let configured = VariantConformanceTests.Configured.all

  @Test(
    "a sequence has the same bits alone and with padding behind it, forward and backward",
    arguments: configured)
  func bits(_ item: VariantConformanceTests.Configured) throws {
    // A graph that is drawn has edges over the padded length, and says that it promises less.
    let shape = try AttentionShape(queryHeads: 2, queryLength: 104, headDim: 8, keyLengths: [93])
    // Settings that the variant refuses together are no case.
    guard let variant = try? item.type.make(settings: item.settings, shape: shape, key: RandomKey(seed: 1)),
      variant.padding == .strict
    else { return }
    // 29 rows in a second tile, 40 or more with padding: none of them a tile of a few rows, which rounds in another order, where tiles
    // are as high as they are assumed to be.
    try ProcessorChoices.$override.withValue(.assumed) {
      for precision in item.type.precisions {
        let conformance = Conformance(item.type, instructionSets: [.default], precision: precision)
        for isCausal in [false, true] {
          for length in [104, 127] {
            let wrong = try conformance.paddedBits(
              item.settings, rows: 93, length: length, isCausal: isCausal)
            #expect(wrong == 0, "\(precision), causal \(isCausal), 93 of \(length)")
          }
        }
      }
    }
  }

  @Test("google's draws count blocks on the padded length, and say so")
  func google() throws {
    let shape = try AttentionShape(batch: 2, queryLength: 96, headDim: 8, keyLengths: [96, 50])
    let settings: [String: ParameterValue] = ["block_size": .int(16), "draws": .string("google")]
    let variant = try RandomSparse.make(
      settings: settings, shape: shape, key: RandomKey(seed: 1))
    guard case .contentOnly(let reason) = variant.padding else {
      Issue.record("it promises what it does not keep")
      return
    }
    #expect(reason.contains("padded length"))
    let uniform = try RandomSparse.make(
      settings: ["block_size": .int(16)], shape: shape, key: RandomKey(seed: 1))
    #expect(uniform.padding == .strict)
  }

  @Test("a padded token of lsh is in no bucket, and rotations are drawn for the valid length")
  func hashes() throws {
    var configuration = LSH.Configuration()
    (configuration.chunk, configuration.hashes) = (8, 2)
    let padded = try AttentionShape(batch: 2, queryLength: 64, headDim: 8, keyLengths: [64, 20])
    let alone = try AttentionShape(queryLength: 20, headDim: 8)
    let query = try Tensor.normal(padded.queryShape, key: RandomKey(seed: 3))
    let own = query.narrowed(axis: 0, to: 1..<2).narrowed(axis: 2, to: 0..<20).contiguous()
    let context = ExecutionContext()
    func buckets(_ shape: AttentionShape, _ query: Tensor) throws -> [Int32] {
      try LSH(configuration, for: shape, key: RandomKey(seed: 5))
        .queryBuckets(of: Operands(query: query, key: query, value: query), in: context)
    }
    let (both, single) = (try buckets(padded, query), try buckets(alone, own))
    for round in 0..<2 {
      let start = (2 + round) * 64
      #expect(Array(both[start..<start + 20]) == Array(single[round * 20..<(round + 1) * 20]))
      #expect(both[start + 20..<start + 64].allSatisfy { $0 == -1 })
    }
    // 2·20/8 buckets, rounded down to a power of two; 16 of the whole sequence.
    #expect(single.max() ?? 9 < 4)
    #expect(both[..<128].max() ?? 0 >= 4)
  }

  @Test(
    "rotations with NaN or infinities are refused in one line", arguments: [Float.nan, .infinity, -.infinity])
  func rotations(_ bad: Float) throws {
    var configuration = LSH.Configuration()
    (configuration.buckets, configuration.hashes) = (4, 1)
    let lsh = try LSH(
      configuration, for: try AttentionShape(queryLength: 20, headDim: 4), key: RandomKey(seed: 1))
    var values = [Float](repeating: 1, count: 8)
    values[5] = bad
    let error = #expect(throws: ConfigurationError.self) {
      try lsh.with(rotations: values, shape: [1, 4, 1, 2])
    }
    #expect(error?.description.contains("at [0, 2, 0, 1]") == true)
  }

  @Test("blocks of a sequence are those of its valid keys")
  func blocks() throws {
    var configuration = RandomSparse.Configuration()
    (configuration.blockSize, configuration.randomBlocks) = (8, 2)
    let padded = try AttentionShape(
      batch: 2, queryHeads: 2, queryLength: 100, headDim: 4, keyLengths: [60, 100])
    let alone = try AttentionShape(queryHeads: 2, queryLength: 60, headDim: 4)
    let (whole, single) = (
      try RandomSparse(configuration, for: padded, key: RandomKey(seed: 2)),
      try RandomSparse(configuration, for: alone, key: RandomKey(seed: 2))
    )
    #expect(whole.visibleBlocks(batch: 0).map { Array($0.prefix(8)) } == single.visibleBlocks)
    #expect(whole.visibleBlocks(batch: 1).map(\.count) == [13, 13])
    #expect(single.visibleBlocks[0][7] == Array(0..<8), "the last block is global")
    #expect(whole.visibleBlocks(batch: 1)[0][7].count < 13, "and no block of the middle is")
  }
}
