import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Attention

/// Statistics of rows, computed pair by pair, against the definition's pairs: of every variant of the catalogue under all of its samples.
@Suite struct RowStatisticsTests {
  static let key = RandomKey(seed: 3)

  @Test("largest score, log-sum-exp and entropy are those of the definition", arguments: Catalog.standard.ids)
  func definition(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    var told = 0
    for settings in Conformance.samples(of: type) {
      for isCausal in [false, true] {
        let shape = try AttentionShape(
          batch: 2, queryHeads: 2, keyHeads: 1, queryLength: 34, keyLength: isCausal ? 41 : 34, headDim: 8,
          isCausal: isCausal, keyLengths: [isCausal ? 41 : 34, 17])
        guard let variant = try? type.make(settings: settings, shape: shape, key: Self.key) else { continue }
        let inputs = try Self.inputs(variant)
        let found = try variant.statistics(of: inputs, in: ExecutionContext(threads: 2))
        told += 1
        guard try variant.definition(of: inputs) is any PairDefinition else {
          #expect(found == nil, "a recurrence, or a sum of several softmaxes, has no weights of pairs")
          continue
        }
        try Self.compare(try #require(found, "\(variant.configurationSummary)"), variant, inputs)
      }
    }
    #expect(told > 0)
  }

  static func inputs(_ variant: any AttentionVariant) throws -> Operands {
    try Operands.drawn(for: variant, key: key)
  }

  static func compare(_ found: RowStatistics, _ variant: any AttentionVariant, _ inputs: Operands) throws {
    let definition = try #require(try variant.definition(of: inputs) as? any PairDefinition)
    let wide = DefinitionInputs(inputs)
    let lse = try #require(try variant.attend(inputs, in: ExecutionContext(threads: 1)).lse).array()
    for (index, row) in variant.shape.definitionRows.enumerated() {
      let pairs = definition.pairs(of: row, wide), own = pairs.filter { $0.key != nil }
      let count = own.reduce(0) { $0 + $1.count }
      #expect(Double(found.pairs[index]) == count, "\(variant.configurationSummary) \(row)")
      // A sink is no pair, but has its part in the denominator.
      let seen = own.map(\.score).max() ?? -.infinity
      #expect(
        found.largestScore[index] == seen || abs(found.largestScore[index] - seen) < 1e-5 * max(1, abs(seen)))
      guard let largest = pairs.map(\.score).max() else {
        #expect(found.lse[index] == -.infinity && found.entropy[index] == 0)
        continue
      }
      let total = pairs.reduce(0) { $0 + $1.count * exp($1.score - largest) }
      let sum = largest + log(total)
      let mean = pairs.reduce(0) { $0 + $1.count * exp($1.score - sum) * $1.score }
      // Products are sums of single precision.
      let size = max(1, abs(sum))
      #expect(abs(found.lse[index] - sum) < 1e-5 * size)
      #expect(abs(found.lse[index] - Double(lse[index])) < 2e-5 * size)
      #expect(abs(found.entropy[index] - (sum - mean)) < 2e-5, "\(variant.configurationSummary) \(row)")
    }
  }

  @Test("the mass that a pattern keeps is the sum of the weights on its pairs, under scores of any kind")
  func keptMass() throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 2, keyHeads: 1, queryLength: 40, headDim: 8, isCausal: true, keyLengths: [40, 17])
    func make(_ id: String, _ settings: [String: ParameterValue]) throws -> any AttentionVariant {
      try Catalog.standard.make(id, settings: settings, shape: shape, key: Self.key)
    }
    let additive: [String: ParameterValue] = ["score": .string("additive")]
    let wholes = [
      try make("full", [:]), try make("full", additive), try make("full", ["sink": .string("learned")]),
    ]
    let parts = [
      try make("sliding-window", ["left": .int(3)]), try make("top-k", ["keys": .int(2)]),
      try make("sliding-window", additive.merging(["left": .int(3)]) { $1 }),
      try make("luong", ["align": .string("local-m"), "window": .int(3)]),
      try make("full", ["softcap": .double(1)]), try make("full", ["sink": .string("learned")]),
    ]
    // Window and top-k have the scores of a plain product, whatever else stands in the denominator.
    let legal = [[0, 1], [2], [0, 1]]
    for (whole, legal) in zip(wholes, legal) {
      for (number, part) in parts.enumerated() {
        var inputs = try Self.inputs(whole)
        for (name, operand) in zip(part.operandsRead.map(\.name), part.operandsRead)
        where inputs[name] == nil {
          inputs[name] = try operand.drawn(at: shape, key: Self.key("other"))
        }
        let context = ExecutionContext(threads: 1)
        func pass(_ variant: any AttentionVariant) throws -> KeptMass.Pass {
          .init(variant, inputs, lse: try #require(try variant.attend(inputs, in: context).lse))
        }
        guard legal.contains(number) else {
          #expect(throws: KeptMass.Incomparable.self, "\(whole.configurationSummary), \(number)") {
            try KeptMass(of: pass(whole), by: pass(part))
          }
          continue
        }
        let kept = try KeptMass(of: pass(whole), by: pass(part)).rows, wide = DefinitionInputs(inputs)
        let all = try #require(try whole.definition(of: inputs) as? any PairDefinition)
        let some = try #require(try part.definition(of: inputs) as? any PairDefinition)
        for (index, row) in shape.definitionRows.enumerated() {
          let pairs = all.pairs(of: row, wide), seen = Set(some.pairs(of: row, wide).map(\.key))
          let total = pairs.reduce(0) { $0 + exp($1.score) }
          let expected = pairs.filter { seen.contains($0.key) }.reduce(0) { $0 + exp($1.score) } / total
          #expect(abs(kept[index] - (total > 0 ? expected : 0)) < 1e-5)
        }
      }
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
