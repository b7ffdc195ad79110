import Basics
import Foundation
import Processor
import Testing

@testable import Tensors

/// Short convolutions against their definition, forward and backward, on every instruction set that the machine has.
@Suite struct ShortConvolutionTests {
  private struct Case {
    let batch: Int, rows: Int, columns: Int, taps: Int, hasBias: Bool, hasPast: Bool
  }

  // Rows that fill no block, columns that fill no vector, taps that are compiled apart and others.
  private static let cases: [Case] = [
    Case(batch: 2, rows: 150, columns: 21, taps: 4, hasBias: true, hasPast: false),
    Case(batch: 1, rows: 65, columns: 40, taps: 4, hasBias: true, hasPast: true),
    Case(batch: 3, rows: 64, columns: 16, taps: 3, hasBias: false, hasPast: false),
    Case(batch: 1, rows: 1, columns: 5, taps: 4, hasBias: false, hasPast: true),
    Case(batch: 2, rows: 2, columns: 33, taps: 8, hasBias: true, hasPast: false),
    Case(batch: 1, rows: 129, columns: 1, taps: 2, hasBias: true, hasPast: false),
    Case(batch: 1, rows: 70, columns: 17, taps: 1, hasBias: false, hasPast: false),
    Case(batch: 2, rows: 67, columns: 9, taps: 5, hasBias: true, hasPast: false),
  ]

  private static func numbers(_ count: Int, _ name: String) -> [Float] {
    var generator = RandomKey(seed: 7)(name).generator()
    return (0..<count).map { _ in Float(generator.normal()) }
  }

  @Test("y, its slope and all gradients are those of the definition", arguments: cases.indices)
  func definition(number: Int) throws {
    let c = Self.cases[number], count = c.batch * c.rows * c.columns
    let x = Self.numbers(count, "x"), w = Self.numbers(c.taps * c.columns, "w"),
      dy = Self.numbers(count, "dy")
    let bias = c.hasBias ? Self.numbers(c.columns, "b") : nil
    let past = c.hasPast ? Self.numbers((c.taps - 1) * c.columns, "p") : nil
    func at(_ batch: Int, _ row: Int, _ column: Int) -> Int { (batch * c.rows + row) * c.columns + column }
    var y = [Double](repeating: 0, count: count), slope = y, dx = y
    var dw = [Double](repeating: 0, count: c.taps * c.columns), db = [Double](repeating: 0, count: c.columns)
    for batch in 0..<c.batch {
      for row in 0..<c.rows {
        for column in 0..<c.columns {
          var z = Double(bias?[column] ?? 0)
          for tap in 0..<c.taps {
            let from = row - c.taps + 1 + tap
            let value =
              from >= 0 ? x[at(batch, from, column)] : past?[(from + c.taps - 1) * c.columns + column] ?? 0
            z += Double(w[tap * c.columns + column]) * Double(value)
          }
          let s = 1 / (1 + exp(-z)), place = at(batch, row, column)
          (y[place], slope[place]) = (z * s, s * (1 + z * (1 - s)))
          let d = Double(dy[place]) * slope[place]
          db[column] += d
          for tap in 0..<c.taps where row - c.taps + 1 + tap >= 0 {
            let from = at(batch, row - c.taps + 1 + tap, column)
            dx[from] += Double(w[tap * c.columns + column]) * d
            dw[tap * c.columns + column] += d * Double(x[from])
          }
        }
      }
    }
    for isa in InstructionSet.available {
      for threads in [1, 3] {
        let context = ExecutionContext(threads: threads, instructionSet: isa)
        let input = try Tensor(x, shape: [c.batch * c.rows, c.columns])
        let weight = try Tensor(w, shape: [c.taps, c.columns])
        let found = try context.convolve(
          input, past: past.map { try Tensor($0, shape: [c.taps - 1, c.columns]) }, weight: weight,
          bias: bias.map { try Tensor($0, shape: [c.columns]) }, batch: c.batch, withSlope: true)
        compare(found.after.array(), y, "y, \(isa)")
        compare(try #require(found.slope).array(), slope, "slope, \(isa)")
        let plain = try context.convolve(
          input, past: past.map { try Tensor($0, shape: [c.taps - 1, c.columns]) }, weight: weight,
          bias: bias.map { try Tensor($0, shape: [c.columns]) }, batch: c.batch, withSlope: false)
        #expect(plain.slope == nil && plain.after.array() == found.after.array())
        guard past == nil else { continue }
        // What stands in the gradients already is added to.
        var gradients = try Tensor(
          [Float](repeating: 2, count: (c.taps + 1) * c.columns), shape: [(c.taps + 1) * c.columns])
        let back = try context.convolveBackward(
          Tensor(dy, shape: input.shape), slope: try #require(found.slope), x: input, weight: weight,
          batch: c.batch, gradients: &gradients, weightAt: 0, biasAt: c.hasBias ? c.taps * c.columns : nil)
        compare(back.array(), dx, "dx, \(isa)")
        let sums = gradients.array()
        compare(sums.prefix(c.taps * c.columns).map { $0 - 2 }, dw, "dw, \(isa)")
        compare(sums.suffix(c.columns).map { $0 - 2 }, c.hasBias ? db : db.map { _ in 0 }, "db, \(isa)")
      }
    }
  }

  private func compare(_ found: [Float], _ expected: [Double], _ what: String) {
    let largest = expected.reduce(1) { max($0, abs($1)) }
    let worst = zip(found, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
    #expect(found.count == expected.count && worst <= 4e-6 * largest, "\(what): \(worst) of \(largest)")
  }
}
