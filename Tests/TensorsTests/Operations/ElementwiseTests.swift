import Basics
import Foundation
import Tensors
import Testing

/// Row and element-wise kernels against their definitions in Double, on every instruction set.
@Suite struct ElementwiseTests {
  static func exact(_ x: Double, _ kind: Activation) -> Double {
    switch kind {
    case .relu: max(x, 0)
    case .gelu: x / 2 * (1 + erf(x / 2.0.squareRoot()))
    case .geluTanh: x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .silu: x / (1 + exp(-x))
    case .tanh: Foundation.tanh(x)
    case .sigmoid: 1 / (1 + exp(-x))
    }
  }

  @Test(arguments: InstructionSet.available, Activation.allCases)
  func activations(_ set: InstructionSet, _ kind: Activation) throws {
    let values = (0..<181).map { Float($0 - 90) / 10 + 0.013 }
    let context = ExecutionContext.recycling(threads: 1, instructionSet: set)
    let x = try Tensor(values, shape: [181])
    let y = try context.activate(x, kind).array()
    let dy = try Tensor([Float](repeating: 2, count: 181), shape: [181])
    let dx = try context.activateBackward(dy, x: x, kind).array()
    for (index, value) in values.enumerated() {
      let v = Double(value), h = 1e-5
      let slope = (Self.exact(v + h, kind) - Self.exact(v - h, kind)) / (2 * h)
      #expect(abs(Double(y[index]) - Self.exact(v, kind)) < 2e-6 * (1 + abs(v)), "x = \(v)")
      #expect(abs(Double(dx[index]) - 2 * slope) < 1e-5, "x = \(v)")
    }
  }

  @Test(arguments: InstructionSet.available, [0, 0.1])
  func crossEntropy(_ set: InstructionSet, _ smoothing: Double) throws {
    let rows = 3, vocabulary = 37
    let logits = try Tensor.normal([rows, vocabulary], key: RandomKey(seed: 3), standardDeviation: 4)
    let targets: [Int32] = [5, -1, 36]
    var work = logits
    let loss = try ExecutionContext.recycling(threads: 1, instructionSet: set)
      .crossEntropy(&work, targets: targets, smoothing: smoothing, gradientScale: 0.5)
    let z = logits.array().map(Double.init), gradient = work.array()
    var sum = 0.0
    for row in 0..<rows {
      let part = Array(z[row * vocabulary..<(row + 1) * vocabulary])
      let top = part.max() ?? 0
      let lse = top + log(part.map { exp($0 - top) }.reduce(0, +))
      for column in 0..<vocabulary {
        let hot = column == Int(targets[row]) ? 1.0 : 0.0
        let expected =
          targets[row] < 0
          ? 0
          : 0.5 * (exp(part[column] - lse) - (1 - smoothing) * hot - smoothing / Double(vocabulary))
        #expect(abs(Double(gradient[row * vocabulary + column]) - expected) < 1e-6)
      }
      if targets[row] >= 0 {
        sum +=
          lse - (1 - smoothing) * part[Int(targets[row])] - smoothing * part.reduce(0, +) / Double(vocabulary)
      }
    }
    #expect(abs(loss.sum - sum) < 1e-5)
    #expect(loss.rows == 2)
  }

  @Test(arguments: InstructionSet.available)
  func adamWMatchesItsDefinition(_ set: InstructionSet) throws {
    let count = 37
    var w = try Tensor.normal([count], key: RandomKey(seed: 1)), m = try Tensor(zeros: [count]), v = m
    let start = w.array()
    let g = try Tensor.normal([count], key: RandomKey(seed: 2))
    let context = ExecutionContext.recycling(threads: 1, instructionSet: set)
    for step in 1...3 {
      context.adamW(
        &w, gradients: g, first: &m, second: &v, range: 1..<count, decay: 0.1,
        .init(learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, step: step, gradientFactor: 0.5))
    }
    let gradient = g.array(), result = w.array()
    #expect(result[0] == start[0])
    for index in 1..<count {
      let x = Double(gradient[index]) * 0.5
      var weight = Double(start[index]), first = 0.0, second = 0.0
      for step in 1...3 {
        first = 0.9 * first + 0.1 * x
        second = 0.99 * second + 0.01 * x * x
        let update =
          first / (1 - pow(0.9, Double(step)))
          / ((second / (1 - pow(0.99, Double(step)))).squareRoot() + 1e-8)
        weight -= 0.01 * (0.1 * weight + update)
      }
      #expect(abs(Double(result[index]) - weight) < 3e-6)
    }
  }

  @Test func dropoutKeepsItsShareAndItsChoice() throws {
    let ones = try Tensor([Float](repeating: 1, count: 20_000), shape: [20_000])
    let context = ExecutionContext.recycling(threads: 2)
    let first = try context.dropout(ones, probability: 0.3, key: RandomKey(seed: 5)).array()
    let again = try context.dropout(ones, probability: 0.3, key: RandomKey(seed: 5)).array()
    let other = try context.dropout(ones, probability: 0.3, key: RandomKey(seed: 6)).array()
    #expect(first == again)
    #expect(first != other)
    #expect(abs(Double(first.count { $0 == 0 }) / 20_000 - 0.3) < 0.02)
    #expect(Set(first).count == 2)
  }

  @Test(arguments: [RotaryTable.Convention.half, .interleaved])
  func rotaryGoesRoundAndBack(_ convention: RotaryTable.Convention) throws {
    let x = try Tensor.normal([2 * 5, 24], key: RandomKey(seed: 1))
    let context = ExecutionContext.recycling(threads: 2)
    let table = try RotaryTable(convention: convention, dim: 6, count: 5)
    let heads = try context.splitHeads(x, column: 6, batch: 2, heads: 2, dim: 6, rotary: table)
    // Definition, for sequence 1, head 1, position 3, pair 1.
    let angle = 3 * pow(10_000, -2.0 / 6)
    let base = (5 + 3) * 24 + 6 + 6
    let (i, j) = convention == .half ? (1, 4) : (2, 3)
    let (a, b) = (Double(x.array()[base + i]), Double(x.array()[base + j]))
    #expect(abs(Double(heads[1, 1, 3, i]) - (a * cos(angle) - b * sin(angle))) < 1e-6)
    #expect(abs(Double(heads[1, 1, 3, j]) - (b * cos(angle) + a * sin(angle))) < 1e-6)
    var back = x
    context.mergeHeads(heads, into: &back, column: 6, rotary: table, inverse: true)
    #expect(zip(back.array(), x.array()).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  /// The gradient past a norm is added in its pass, with the bits of the sum.
  @Test(arguments: InstructionSet.available, [1, 8, 37])
  func aNormAddsTheResidualGradient(_ set: InstructionSet, _ dim: Int) throws {
    let rows = 70
    let x = try Tensor.normal([rows, dim], key: RandomKey(seed: 1)),
      dy = try Tensor.normal([rows, dim], key: RandomKey(seed: 2)),
      residual = try Tensor.normal([rows, dim], key: RandomKey(seed: 3)),
      gain = try Tensor.normal([dim], key: RandomKey(seed: 4))
    let context = ExecutionContext.recycling(threads: 2, instructionSet: set)
    for centred in [true, false] {
      let (_, statistics) = try context.normalize(
        x, gain: gain, shift: nil, centred: centred, epsilon: 1e-5)
      func dx(_ addend: Tensor?) throws -> Tensor {
        var gradients = try Tensor(zeros: [2 * dim])
        return try context.normalizeBackward(
          dy, x: x, gain: gain, statistics: statistics, centred: centred, adding: addend,
          gradients: &gradients, gainAt: 0, shiftAt: dim)
      }
      #expect(try dx(residual).array() == context.add(residual, dx(nil)).array())
    }
  }
}
