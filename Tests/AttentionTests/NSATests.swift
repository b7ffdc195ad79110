import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Attention

/// Native sparse attention, apart from the check against the definition that all variants pass.
@Suite struct NSATests {
  private func inputs(_ nsa: NSA) throws -> Operands {
    var inputs = try SelectionTests.inputs(nsa.shape)
    for operand in nsa.operands where !operand.isStandard {
      inputs[operand.name] = try operand.drawn(at: nsa.shape, key: RandomKey(seed: 5)(operand.shortName))
    }
    return inputs
  }

  /// The blocks of a row by sorting the weights of the compressed branch in Double, summed over strides and over the heads of the group;
  /// `nil` where two sums are too near to tell.
  private func expected(_ nsa: NSA, _ inputs: Operands, _ batch: Int, _ keyHead: Int, _ row: Int) -> [Int]? {
    let shape = nsa.shape, settings = nsa.configuration, position = row + shape.queryOffset
    let own = position / settings.blockSize
    var sums = [Double](repeating: 0, count: own + 1)
    for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
      var scores: [Double] = []
      var first = 0
      while first + settings.compressBlock <= position + 1 {
        scores.append(
          (0..<shape.headDim).reduce(0.0) { sum, t in
            let key = (0..<settings.compressBlock).reduce(0.0) {
              $0 + Double(inputs[.compressKey]?[keyHead, $1, t] ?? 0)
                * Double(inputs.key[batch, keyHead, first + $1, t])
            }
            return sum + key * Double(inputs.query[batch, head, row, t])
          } * shape.effectiveScale)
        first += settings.compressStride
      }
      let largest = scores.max() ?? 0, weights = scores.map { exp($0 - largest) }
      let total = weights.reduce(0, +)
      for (block, weight) in weights.enumerated() {
        // Stride by stride: the selected block that each lies in.
        for key in stride(from: 0, to: settings.compressBlock, by: settings.compressStride) {
          sums[(block * settings.compressStride + key) / settings.blockSize] += weight / total
        }
      }
    }
    for forced in [0, own, own - 1] where forced >= 0 { sums[forced] = .infinity }
    let order = sums.indices.sorted { (-sums[$0], $0) < (-sums[$1], $1) }
    if order.count > settings.blocks {
      let (last, next) = (sums[order[settings.blocks - 1]], sums[order[settings.blocks]])
      if last.isFinite, last - next < 1e-6, last > 0 { return nil }
    }
    return order.prefix(settings.blocks).sorted()
  }

  @Test(
    "selected blocks are those of the largest compressed weights of a group, sorted in Double",
    arguments: NSA.Configuration.samples)
  func choice(_ configuration: NSA.Configuration) throws {
    for (queries, keys) in [(70, 70), (9, 90)] {
      let shape = try AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: queries, keyLength: keys, headDim: 8,
        isCausal: true)
      let nsa = try NSA(configuration, for: shape, key: RandomKey(seed: 1))
      let inputs = try inputs(nsa), context = ExecutionContext(threads: 2)
      let weights = try #require(inputs[.compressKey])
      let keys = try nsa.compressed.make(inputs.key, weights, in: context)
      let choice = try nsa.chosen(inputs.query, keys, in: context)
      var ties = 0
      for batch in 0..<2 {
        for head in 0..<2 {
          for row in 0..<shape.queryLength {
            guard let expected = expected(nsa, inputs, batch, head, row) else {
              ties += 1
              continue
            }
            #expect(choice.items(batch, head, row).map { Int($0) } == expected, "\(batch) \(head) \(row)")
          }
        }
      }
      #expect(ties < 5)
    }
  }

  @Test("a gate that is open alone gives its branch, one query against the cache the row of the whole pass")
  func branches() throws {
    let settings = NSA.Configuration(compressBlock: 8, compressStride: 4, blockSize: 16, blocks: 4, window: 9)
    let shape = try AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 90, headDim: 16, isCausal: true)
    let nsa = try NSA(settings, for: shape, key: RandomKey(seed: 1)), context = ExecutionContext(threads: 2)
    var inputs = try inputs(nsa)
    let whole = try nsa.attend(inputs, in: context).output
    var last = inputs
    last.query = try inputs.query.narrowed(axis: 2, to: 89..<90).copied(ledger: nil)
    last[NSA.gates.name] = try inputs[NSA.gates.name]?.narrowed(axis: 2, to: 89..<90).copied(ledger: nil)
    let one = try AttentionShape(
      queryHeads: 4, keyHeads: 2, queryLength: 1, keyLength: 90, headDim: 16, isCausal: true)
    let decoded = try NSA(settings, for: one, key: RandomKey(seed: 1)).attend(last, in: context).output
    #expect(SelectionTests.close(decoded, whole.narrowed(axis: 2, to: 89..<90).contiguous()))
    // σ(−100) is 0 in single precision, σ(100) is 1.
    let gates = (0..<4 * 90 * 3).map { (place: Int) -> Float in place % 3 == 2 ? 100 : -100 }
    inputs[NSA.gates.name] = try Tensor(gates, shape: [1, 4, 90, 3])
    let window = try SlidingWindow(.init(left: 8, right: 0), for: shape, key: RandomKey(seed: 1))
    #expect(
      SelectionTests.close(
        try nsa.attend(inputs, in: context).output, try window.attend(inputs, in: context).output, 1e-6))
  }

  @Test("what it does not take is refused in a line")
  func refused() throws {
    let causal = try AttentionShape(queryLength: 8, headDim: 4, isCausal: true)
    let both = try AttentionShape(queryLength: 8, headDim: 4)
    func message(_ settings: [String: ParameterValue], _ shape: AttentionShape) -> String {
      do throws(ConfigurationError) {
        _ = try NSA.make(settings: settings, shape: shape, key: RandomKey(seed: 1))
        return ""
      } catch { return "\(error)" }
    }
    #expect(
      message([:], both)
        == "causal: false is not allowed; it takes true with nsa: compressed blocks are past ones")
    #expect(
      message(["compress_block": .int(20)], causal)
        == "compress_block: 20 is not allowed; it takes a multiple of compress_stride, 16")
    #expect(message(["blocks": .int(2)], causal).hasPrefix("blocks: 2 is not allowed"))
  }

  @Test("the closed form covers what is allocated, and nothing grows with the square of the length")
  func memory() throws {
    for length in [512, 2048] {
      let shape = try AttentionShape(
        queryHeads: 2, keyHeads: 1, queryLength: length, headDim: 8, isCausal: true)
      let nsa = try NSA(
        .init(compressBlock: 32, compressStride: 16, blockSize: 64, blocks: 4, window: 64), for: shape,
        key: RandomKey(seed: 1))
      let inputs = try inputs(nsa), ledger = MemoryLedger()
      let context = ExecutionContext(threads: 1, ledger: ledger)
      for pass in [PassKind.forward, .backward] { try nsa.prepare(for: pass, in: context) }
      let planned = Double(ledger.currentBytes)
      ledger.resetPeak()
      let forward = try nsa.forward(inputs, in: context), cost = nsa.cost(of: .forward)
      let results = Double(shape.outputShape.reduce(4, *))
      #expect(
        Double(ledger.peakBytes) - planned <= 1.05 * (cost.workspaceBytes + results), "\(length) forward")
      _ = try forward.backward(forward.output, in: context)
      let gradients = shape.gradientBytes(nsa.operands), back = nsa.cost(of: .backward)
      #expect(
        Double(ledger.peakBytes) - planned <= 1.05 * (back.workspaceBytes + results + gradients),
        "\(length) backward")
      #expect(back.workspaceBytes < 900 * Double(length) + 3e6)
    }
  }
}
