import AttentionCore
import Basics
import Foundation
import Tensors
import Testing

@testable import Attention

/// Hard attention that draws its keys and learns by the loss (REINFORCE), against expectations in Double over all draws.
@Suite struct DrawnKeysTests {
  static func shape() throws -> AttentionShape {
    try AttentionShape(batch: 2, queryHeads: 2, keyHeads: 1, queryLength: 3, headDim: 2, isCausal: true)
  }

  static func inputs(_ shape: AttentionShape) throws -> Operands {
    Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 11)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 12)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 13)))
  }

  /// The softmax of every row in Double, from q and k as numbers.
  static func weights(_ q: [Double], _ k: [Double], _ shape: AttentionShape) -> [[Double]] {
    let dim = shape.headDim
    return shape.definitionRows.enumerated().map { index, row in
      let keyStart = (row.batch * shape.keyHeads + shape.keyHead(of: row.head)) * shape.keyLength
      let scores = (0...row.query).map { key in
        shape.effectiveScale
          * (0..<dim).reduce(0.0) { $0 + q[index * dim + $1] * k[(keyStart + key) * dim + $1] }
      }
      let total = scores.reduce(0) { $0 + exp($1) }
      return scores.map { exp($0) / total }
    }
  }

  /// A loss of one sequence that is no sum over its rows: what one row drew changes what another's draw is worth.
  static func loss(_ output: ArraySlice<Double>) -> Double {
    let sum = output.reduce(0, +), squares = output.reduce(0) { $0 + $1 * $1 }
    return sin(sum) + 0.3 * squares * sum
  }

  /// Every choice of one key a row among `counts`, one after another.
  static func choices(_ counts: [Int]) -> [[Int]] {
    counts.reduce([[]]) { all, count in all.flatMap { head in (0..<count).map { head + [$0] } } }
  }

  /// E[L] of a sequence, less λ w times its entropies.
  static func objective(
    _ q: [Double], _ k: [Double], _ v: [Double], batch: Int, entropy: Double, _ shape: AttentionShape
  ) -> Double {
    let rows = shape.definitionRows, all = weights(q, k, shape)
    let own = rows.indices.filter { rows[$0].batch == batch }
    var mean = 0.0
    for choice in choices(own.map { all[$0].count }) {
      let output = zip(own, choice).flatMap { row, key in
        let start = (batch * shape.keyHeads * shape.keyLength + key) * shape.headDim
        return v[start..<start + shape.headDim]
      }
      mean += zip(own, choice).reduce(1) { $0 * all[$1.0][$1.1] } * loss(output[...])
    }
    let entropies = own.reduce(0.0) { sum, row in sum - all[row].reduce(0) { $0 + $1 * log($1) } }
    return mean - entropy * entropies
  }

  @Test(
    "over all draws, weighted by their probability, the gradient is that of the expected loss",
    arguments: [(HardAttention.Baseline.none, 0.0), (.average, 0.0), (.average, 0.4)])
  func expectation(_ baseline: HardAttention.Baseline, _ entropy: Double) throws {
    let shape = try Self.shape(), inputs = try Self.inputs(shape), context = ExecutionContext(threads: 2)
    let variant = try HardAttention(
      .init(gradient: .reinforce, baseline: baseline, entropy: entropy), for: shape, key: RandomKey(seed: 1))
    let wide = [inputs.query, inputs.key, inputs.value].map { $0.array().map(Double.init) }
    let rows = shape.definitionRows, all = Self.weights(wide[0], wide[1], shape)
    var found = wide.map { [Double](repeating: 0, count: $0.count) }
    let weight = 0.5
    // Sequences draw apart from each other: both may draw the same choice.
    for choice in Self.choices((0..<6).map { all[$0].count }) {
      let keys = rows.indices.map { choice[$0 % 6] }
      var draws = inputs
      draws[HardAttention.draws.name] = try Tensor(
        rows.indices.map { row in
          Float(all[row].prefix(keys[row]).reduce(0, +) + all[row][keys[row]] / 2)
        }, shape: shape.lseShape)
      let forward = try variant.attend(draws, in: context)
      let output = forward.output.array().map(Double.init), half = output.count / 2
      let parts = [output[..<half], output[half...]]
      let signal = LossSignal(
        losses: parts.map(Self.loss), expected: [0.7, -1.3], weight: weight)
      let slopes = parts.flatMap { part in
        let sum = part.reduce(0, +), squares = part.reduce(0) { $0 + $1 * $1 }
        return part.map { Float(cos(sum) + 0.3 * squares + 0.6 * sum * $0) }
      }
      let gradient = try forward.backward(
        Tensor(slopes, shape: shape.outputShape), knowing: signal, in: context)
      for (place, tensor) in [gradient.query, gradient.key, gradient.value].enumerated() {
        let values = tensor.array(), half = values.count / 2
        for index in values.indices {
          // The probability of the choice in the sequence that the element belongs to.
          let own = (index < half ? 0 : 6)..<(index < half ? 6 : 12)
          found[place][index] += own.reduce(1) { $0 * all[$1][keys[$1]] } * Double(values[index])
        }
      }
    }
    for place in 0..<3 {
      for index in wide[place].indices {
        let batch = index < wide[place].count / 2 ? 0 : 1
        func moved(_ step: Double) -> Double {
          var all = wide
          all[place][index] += step
          return Self.objective(
            all[0], all[1], all[2], batch: batch, entropy: entropy * weight, shape)
        }
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
        #expect(abs(found[place][index] - expected) < 2e-5 * max(1, abs(expected)), "\(place) \(index)")
      }
    }
  }

  @Test(
    "keys are drawn as often as their weights say, none that has no weight, and none but the best without draws"
  )
  func frequencies() throws {
    let shape = try AttentionShape(queryLength: 2000, keyLength: 5, headDim: 1, scale: 1)
    var inputs = Operands(
      query: try Tensor([Float](repeating: 1, count: 2000), shape: shape.queryShape),
      key: try Tensor([0, 1, -1000, 2, 0.5], shape: shape.keyShape),
      value: try Tensor([0, 1, 2, 3, 4], shape: shape.valueShape))
    let variant = try HardAttention(.init(gradient: .reinforce), for: shape, key: RandomKey(seed: 1))
    let context = ExecutionContext(threads: 2)
    #expect(try variant.attend(inputs, in: context).output.array().allSatisfy { $0 == 3 })
    inputs[HardAttention.draws.name] = try .uniform(shape.lseShape, key: RandomKey(seed: 5))
    let taken = try variant.attend(inputs, in: context).output.array()
    let total = [0, 1, -1000, 2, 0.5].reduce(0) { $0 + exp($1) }
    for (key, score) in [0, 1, -1000, 2, 0.5].enumerated() {
      let share = exp(score) / total, found = Double(taken.count { Int($0) == key }) / 2000
      // Five standard deviations of a share of 2000 draws.
      #expect(abs(found - share) <= 5 * (share * (1 - share) / 2000).squareRoot(), "key \(key)")
    }
  }

  @Test("rows of padding draw, but learn nothing; without a loss only values learn")
  func paddingAndNoLoss() throws {
    let shape = try AttentionShape(batch: 2, queryLength: 70, headDim: 4, keyLengths: [70, 30])
    var inputs = try Self.inputs(shape)
    inputs[HardAttention.draws.name] = try .uniform(shape.lseShape, key: RandomKey(seed: 5))
    let variant = try HardAttention(
      .init(gradient: .reinforce, entropy: 0.1), for: shape, key: RandomKey(seed: 1))
    let forward = try variant.attend(inputs, in: ExecutionContext(threads: 1))
    let dO = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 6))
    let blind = try forward.backward(dO, in: ExecutionContext(threads: 1))
    #expect(blind.query.array().allSatisfy { $0 == 0 } && blind.key.array().allSatisfy { $0 == 0 })
    let signal = LossSignal(losses: [1, 2], expected: [0.5, 1], weight: 0.01)
    let one = try forward.backward(dO, knowing: signal, in: ExecutionContext(threads: 1))
    let two = try forward.backward(dO, knowing: signal, in: ExecutionContext(threads: 2))
    for name in one.names { #expect(one[name]?.array() == two[name]?.array(), "\(name)") }
    #expect(one.value.array() == blind.value.array())
    let padded = one.query.array().suffix(40 * 4), real = one.query.array().dropLast(40 * 4)
    #expect(padded.allSatisfy { $0 == 0 } && real.contains { $0 != 0 })
    #expect(one.key.array().suffix(40 * 4).allSatisfy { $0 == 0 })
  }
}
