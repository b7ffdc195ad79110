import AttentionCore
import Basics
import Foundation
import Tensors
import Testing

@testable import Attention

/// The indexer of DeepSeek's sparse attention: its choice, and what it learns of.
@Suite struct DSATests {
  private func inputs(_ dsa: DSA) throws -> Operands {
    var inputs = try SelectionTests.inputs(dsa.shape)
    for operand in dsa.operands where !operand.isStandard {
      inputs[operand.name] = try operand.drawn(at: dsa.shape, key: RandomKey(seed: 5)(operand.shortName))
    }
    return inputs
  }

  /// I of a row in Double.
  private func scores(_ dsa: DSA, _ inputs: DefinitionInputs, _ batch: Int, _ row: Int) -> [Double] {
    let (heads, dim) = (dsa.configuration.indexerHeads, dsa.configuration.indexerDim), shape = dsa.shape
    let q = inputs[DSA.indexerQuery], k = inputs[DSA.indexerKey], w = inputs[DSA.indexerWeight]
    let place = batch * shape.queryLength + row
    return (0..<shape.visibleKeys(batch: batch, row: row)).map { key in
      (0..<heads).reduce(0.0) { sum, head in
        let product = (0..<dim).reduce(0.0) {
          $0 + q[(place * heads + head) * dim + $1] * k[(batch * shape.keyLength + key) * dim + $1]
        }
        return sum + w[place * heads + head] * max(product, 0)
      } / Double(heads * dim).squareRoot()
    }
  }

  @Test(
    "chosen keys are those of the largest scores of the indexer, sorted in Double", arguments: [1, 6, 200])
  func choice(_ count: Int) throws {
    for shape in SelectionTests.shapes {
      let dsa = try DSA(
        .init(keys: count, indexerHeads: 3, indexerDim: 7), for: shape, key: RandomKey(seed: 1))
      let inputs = try inputs(dsa), wide = DefinitionInputs(inputs)
      let choice = try dsa.chosen(inputs, in: ExecutionContext(threads: 2))
      var ties = 0
      for row in shape.definitionRows {
        let scores = scores(dsa, wide, row.batch, row.query)
        let order = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }
        if order.count > count, scores[order[count - 1]] - scores[order[count]] < 1e-6,
          scores[order[count]] != scores[order[count - 1]]
        {
          ties += 1
          continue
        }
        #expect(
          choice.items(row.batch, row.head, row.query).map { Int($0) } == order.prefix(count).sorted(),
          "\(row)")
      }
      #expect(ties < 5)
    }
  }

  /// Σ_t KL(p_t ‖ softmax(I_t)) in Double over given keys.
  private func loss(_ dsa: DSA, _ inputs: DefinitionInputs, keys: (Int, Int) -> [Int]) -> Double {
    let shape = dsa.shape
    let softmax = SoftmaxDefinition(shape: shape) { _, _, query, key in
      shape.isFuture(query: query, key: key) ? 0 : 1
    }
    var sum = 0.0
    for batch in 0..<shape.batch {
      for row in 0..<shape.queryLength where !shape.isPaddedQuery(batch: batch, query: row) {
        let keys = keys(batch, row), scores = scores(dsa, inputs, batch, row)
        guard !keys.isEmpty else { continue }
        var mean = [Double](repeating: 0, count: keys.count)
        for head in 0..<shape.queryHeads {
          let pairs = softmax.pairs(of: DefinitionRow(batch: batch, head: head, query: row), inputs)
          let weights = keys.map { exp(pairs[$0].score) }, total = weights.reduce(0, +)
          for place in keys.indices { mean[place] += weights[place] / total / Double(shape.queryHeads) }
        }
        let exponentials = keys.map { exp(scores[$0]) }, total = exponentials.reduce(0, +)
        for place in keys.indices {
          sum += mean[place] * (log(mean[place]) - log(exponentials[place] / total))
        }
      }
    }
    return sum
  }

  @Test(
    "told a loss, the indexer gets the gradient of the divergence, against differences in Double; attention gets none",
    arguments: [DSA.Stage.sparse, .dense])
  func indexerLoss(_ stage: DSA.Stage) throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 21, headDim: 8, isCausal: true, keyLengths: [21, 13])
    let dsa = try DSA(
      .init(keys: 5, indexerHeads: 2, indexerDim: 6, stage: stage, indexerLoss: 0.5), for: shape,
      key: RandomKey(seed: 1))
    let inputs = try inputs(dsa), context = ExecutionContext(threads: 2), wide = DefinitionInputs(inputs)
    let choice = try dsa.chosen(inputs, in: context)
    func keys(_ batch: Int, _ row: Int) -> [Int] {
      stage == .dense
        ? Array(0..<shape.visibleKeys(batch: batch, row: row)) : choice.items(batch, 0, row).map { Int($0) }
    }
    let forward = try dsa.attend(inputs, in: context)
    let dO = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4))
    let signal = LossSignal(losses: [1, 1], expected: [1, 1], weight: 0.25)
    let told = try forward.backward(dO, knowing: signal, in: context)
    let plain = try forward.backward(dO, in: context)
    for name in [Operand.Name.query, .key, .value] { #expect(told[name]?.array() == plain[name]?.array()) }
    for name in [DSA.indexerQuery, DSA.indexerKey, DSA.indexerWeight] {
      #expect(plain[name]?.array().allSatisfy { $0 == 0 } == true)
      let gradient = told[name]?.array() ?? [], step = 1e-6
      let direction = try Tensor.normal(
        try #require(inputs[name]).shape, key: RandomKey(seed: 9)(name.description)
      ).array().map { Double($0) }
      func moved(_ by: Double) -> Double {
        var other = wide
        other[name] = zip(wide[name], direction).map { $0 + by * $1 }
        return loss(dsa, other, keys: keys)
      }
      let expected = 0.125 * (moved(step) - moved(-step)) / (2 * step)
      let found = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * $1.1 }
      #expect(abs(found - expected) < 1e-4 * (1 + abs(expected)), "\(name): \(found), \(expected)")
      #expect(abs(expected) > 1e-3)
    }
    let one = try dsa.attend(inputs, in: ExecutionContext(threads: 1)).backward(
      dO, knowing: signal, in: ExecutionContext(threads: 1))
    #expect(one[DSA.indexerKey]?.array() == told[DSA.indexerKey]?.array(), "any number of threads")
  }
}
