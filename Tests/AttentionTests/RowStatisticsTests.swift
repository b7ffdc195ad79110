import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Attention

/// Statistics of rows, computed pair by pair, against the definition's pairs: of every variant of the catalogue that tells them.
@Suite struct RowStatisticsTests {
  static let key = RandomKey(seed: 3)
  /// Those that tell none under any settings: their scores are no products of q and k, or stand for several keys, or there are
  /// none.
  static let silent: Set = [
    "pyramid", "luong", "top-k", "hard", "graph", "linear", "retention", "mamba2", "gated-delta",
  ]

  @Test("largest score, log-sum-exp and entropy are those of the definition", arguments: Catalog.standard.ids)
  func definition(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    var told = 0
    for settings in Conformance.samples(of: type) {
      for isCausal in [false, true] {
        let shape = try AttentionShape(
          batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 70, keyLength: isCausal ? 90 : 70, headDim: 16,
          isCausal: isCausal, keyLengths: [isCausal ? 90 : 70, 33])
        guard let variant = try? type.make(settings: settings, shape: shape, key: Self.key) else { continue }
        let inputs = try Self.inputs(variant)
        guard let found = try variant.statistics(of: inputs, in: ExecutionContext(threads: 2)) else {
          continue
        }
        told += 1
        try Self.compare(found, variant, inputs)
      }
    }
    #expect((told > 0) != Self.silent.contains(id), "\(id): \(told) settings tell statistics")
  }

  static func inputs(_ variant: any AttentionVariant) throws -> Operands {
    func draw(_ operand: Operand) throws -> Tensor {
      try operand.drawn(at: variant.shape, key: key(operand.shortName))
    }
    var inputs = Operands(query: try draw(.query), key: try draw(.key), value: try draw(.value))
    for operand in variant.operandsRead where !operand.isStandard && !operand.isOptional {
      inputs[operand.name] = try draw(operand)
    }
    return inputs
  }

  static func compare(_ found: RowStatistics, _ variant: any AttentionVariant, _ inputs: Operands) throws {
    let definition = try #require(try variant.definition(of: inputs) as? any PairDefinition)
    let wide = DefinitionInputs(inputs)
    let lse = try #require(try variant.attend(inputs, in: ExecutionContext(threads: 1)).lse).array()
    for (index, row) in variant.shape.definitionRows.enumerated() {
      let pairs = definition.pairs(of: row, wide)
      let count = pairs.reduce(0) { $0 + $1.count }
      #expect(Double(found.pairs[index]) == count, "\(variant.configurationSummary) \(row)")
      guard let largest = pairs.map(\.score).max() else {
        #expect(found.lse[index] == -.infinity && found.entropy[index] == 0)
        continue
      }
      let total = pairs.reduce(0) { $0 + $1.count * exp($1.score - largest) }
      let sum = largest + log(total)
      let mean = pairs.reduce(0) { $0 + $1.count * exp($1.score - sum) * $1.score }
      #expect(abs(found.largestScore[index] - largest) < 1e-5)
      #expect(abs(found.lse[index] - sum) < 1e-5 && abs(Float(found.lse[index]) - lse[index]) < 2e-5)
      #expect(abs(found.entropy[index] - (sum - mean)) < 2e-5, "\(variant.configurationSummary) \(row)")
    }
  }

  @Test("equal scores, however large, have the entropy of as many equal weights; one key has none")
  func entropyOfEqualWeights() throws {
    let shape = try AttentionShape(queryLength: 8, headDim: 1, isCausal: true, scale: 1)
    let ones = try Tensor([Float](repeating: 1e4, count: 8), shape: shape.queryShape)
    let variant = try FullAttention(.init(), for: shape, key: Self.key)
    let found = try #require(
      try variant.statistics(
        of: Operands(query: ones, key: ones, value: ones), in: ExecutionContext(threads: 1)))
    for row in 0..<8 {
      #expect(abs(found.entropy[row] - log(Double(row + 1))) < 1e-12)
      #expect(abs(found.largestScore[row] - 1e8) < 1)
    }
  }
}
