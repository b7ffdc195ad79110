import Basics
import Foundation
import Tensors
import Testing

/// Gated units, soft caps, and heads that are turned in part, against their formulas in Double.
@Suite struct GatedUnitTests {
  static let kinds: [GatedUnit] = [.silu, .gelu, .geluTanh, .clamped(alpha: 1.702, most: 0.7)]
  static let context = ExecutionContext.recycling(threads: 2)

  static func value(_ unit: GatedUnit, _ g: Double, _ u: Double) -> Double {
    switch unit {
    case .silu: return g / (1 + exp(-g)) * u
    case .gelu: return g / 2 * (1 + erf(g / 2.0.squareRoot())) * u
    case .geluTanh: return g / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (g + 0.044715 * g * g * g))) * u
    case .clamped(let alpha, let most):
      let held = min(g, most)
      return (min(max(u, -most), most) + 1) * held / (1 + exp(-alpha * held))
    }
  }

  @Test("values and slopes are those of the formulas", arguments: kinds, InstructionSet.available)
  func slopes(unit: GatedUnit, set: InstructionSet) throws {
    let context = ExecutionContext.recycling(threads: 2, instructionSet: set), hidden = 37
    let x = try Tensor.normal([5, 2 * hidden], key: RandomKey(seed: 3), standardDeviation: 1.3)
    let dy = try Tensor.normal([5, hidden], key: RandomKey(seed: 4), standardDeviation: 1)
    let y = try context.gated(x, by: unit).array()
    let dx = try context.gatedBackward(dy, x: x, by: unit).array()
    let (values, weights) = (x.array(), dy.array())
    for row in 0..<5 {
      for column in 0..<hidden {
        let at = row * 2 * hidden + column
        let g = Double(values[at]), u = Double(values[at + hidden]),
          d = Double(weights[row * hidden + column])
        #expect(abs(Double(y[row * hidden + column]) - Self.value(unit, g, u)) < 2e-6)
        let step = 1e-6
        let byGate = (Self.value(unit, g + step, u) - Self.value(unit, g - step, u)) / (2 * step)
        let byFactor = (Self.value(unit, g, u + step) - Self.value(unit, g, u - step)) / (2 * step)
        #expect(abs(Double(dx[at]) - d * byGate) < 3e-6)
        #expect(abs(Double(dx[at + hidden]) - d * byFactor) < 3e-6)
      }
    }
  }

  @Test("a soft cap and its slope")
  func softcap() throws {
    let x = try Tensor.normal([3, 19], key: RandomKey(seed: 5), standardDeviation: 4)
    let ones = try Tensor([Float](repeating: 1, count: x.count), shape: x.shape)
    let y = try Self.context.softcapped(x, at: 2.5).array()
    let slopes = try Self.context.softcappedBackward(ones, x: x, at: 2.5).array()
    for (place, value) in x.array().enumerated() {
      let t = tanh(Double(value) / 2.5)
      #expect(abs(Double(y[place]) - 2.5 * t) < 2e-6 && abs(Double(slopes[place]) - (1 - t * t)) < 2e-6)
    }
  }

  @Test("heads are turned in part, and back", arguments: RotaryTable.Convention.allCases)
  func turned(convention: RotaryTable.Convention) throws {
    let x = try Tensor.normal([2, 3, 5, 10], key: RandomKey(seed: 6), standardDeviation: 1)
    let frequencies = [0.7, 0.2, 0.05]
    let table = try RotaryTable(convention: convention, frequencies: frequencies, rows: RowRuns([4..<9]))
    let y = try Self.context.turned(x, table)
    for head in 0..<6 {
      for row in 0..<5 {
        let before = Array(x.array()[(head * 5 + row) * 10..<(head * 5 + row) * 10 + 10]).map(Double.init)
        let after = Array(y.array()[(head * 5 + row) * 10..<(head * 5 + row) * 10 + 10]).map(Double.init)
        for pair in 0..<3 {
          let (a, b) = convention == .half ? (pair, pair + 3) : (2 * pair, 2 * pair + 1)
          let angle = Double(4 + row) * frequencies[pair]
          #expect(abs(after[a] - (before[a] * cos(angle) - before[b] * sin(angle))) < 1e-6)
          #expect(abs(after[b] - (before[b] * cos(angle) + before[a] * sin(angle))) < 1e-6)
        }
        #expect(Array(after[6...]) == Array(before[6...]))
      }
    }
    let back = try Self.context.turned(y, table, inverse: true)
    #expect(zip(back.array(), x.array()).allSatisfy { abs($0 - $1) < 1e-6 })
  }

  @Test("heads are repeated beside each other, and their gradients summed")
  func repeated() throws {
    let x = try Tensor.normal([2, 3, 4, 5], key: RandomKey(seed: 7), standardDeviation: 1)
    let y = try Self.context.repeatedHeads(x, times: 2)
    #expect(y.shape == [2, 6, 4, 5])
    for head in 0..<12 {
      #expect(
        Array(y.array()[head * 20..<head * 20 + 20]) == Array(x.array()[head / 2 * 20..<head / 2 * 20 + 20]))
    }
    let sums = try Self.context.sumOfHeads(y, each: 2)
    #expect(sums.shape == x.shape && zip(sums.array(), x.array()).allSatisfy { $0 == 2 * $1 })
  }
}
