import Basics
import Foundation
import Tensors
import Testing

/// Sums of squares of numbers whose squares overflow or vanish in single precision.
@Suite struct SquareTests {
  static let sizes: [Float] = [1, 0x1p63, 0x1p100, 0x1p-75, 0x1p-110]

  @Test("norms of layers do not depend on the size of their input", arguments: InstructionSet.available)
  func norms(_ set: InstructionSet) throws {
    let compute = ExecutionContext(threads: 2, instructionSet: set)
    let rows = 5, dim = 37
    let x = try Tensor.normal([rows, dim], key: RandomKey(seed: 2)).array()
    let gain = try Tensor.normal([dim], key: RandomKey(seed: 3))
    for centred in [true, false] {
      func run(_ size: Float) throws -> (y: [Float], inverse: [Float]) {
        let scaled = try Tensor(x.map { $0 * size }, shape: [rows, dim])
        let (y, statistics) = try compute.normalize(
          scaled, gain: gain, shift: nil, centred: centred, epsilon: 0)
        return (y.array(), statistics.inverseDeviation.array())
      }
      let ordinary = try run(1)
      for size in Self.sizes {
        let (y, inverse) = try run(size)
        for (a, b) in zip(y, ordinary.y) { #expect(abs(a - b) <= 1e-6 * abs(b), "\(size): \(a), \(b)") }
        for (a, b) in zip(inverse, ordinary.inverse) { #expect(abs(a * size - b) <= 1e-6 * b, "\(size)") }
      }
    }
  }

  @Test("an ε far above the squares decides alone, and the mean of vast numbers is no infinity")
  func epsilonAndMean() throws {
    let compute = ExecutionContext(threads: 1)
    let gain = try Tensor([1, 1], shape: [2])
    let small = try Tensor([0x1p-75, -0x1p-75], shape: [1, 2])
    let (y, _) = try compute.normalize(small, gain: gain, shift: nil, centred: true, epsilon: 0x1p-20)
    #expect(y.array() == [0x1p-65, -0x1p-65])
    let vast = try Tensor([0x1.8p127, 0x1p127], shape: [1, 2])
    let (z, statistics) = try compute.normalize(vast, gain: gain, shift: nil, centred: true, epsilon: 0)
    #expect(statistics.mean.array() == [0x1.4p127])
    #expect(zip(z.array(), [1, -1] as [Float]).allSatisfy { abs($0 - $1) < 1e-6 }, "\(z.array())")
  }

  @Test("the norm of gradients of any size is their norm", arguments: InstructionSet.available)
  func sumOfSquares(_ set: InstructionSet) throws {
    let values = try Tensor.normal([3000], key: RandomKey(seed: 4)).array()
    let compute = ExecutionContext(threads: 2, instructionSet: set)
    for size in Self.sizes {
      // Blocks of zeros lie between.
      let x = values.enumerated().map { $0 / 1024 == 1 ? 0 : $1 * size }
      let expected = x.reduce(0.0) { $0 + Double($1) * Double($1) }
      let found = try compute.sumOfSquares(Tensor(x, shape: [3000]))
      #expect(abs(found / expected - 1) < 1e-5, "\(size): \(found), not \(expected)")
    }
  }

  @Test("a variance that single precision does not hold makes no constant of its column")
  func batchNormalization() throws {
    let compute = ExecutionContext(threads: 1)
    let x = try Tensor([0x1p80, 1, -0x1p80, 2], shape: [2, 2])
    let (mean, variance) = try compute.columnMoments(x)
    #expect(mean == [0, 1.5] && variance[0].isNaN && variance[1] == 0.25)
  }

  @Test("logits near the largest single are logits", arguments: InstructionSet.available)
  func crossEntropy(_ set: InstructionSet) throws {
    var logits = try Tensor([-0x1.ffp127, -0x1.fffffep127, -0x1.fffffep127], shape: [1, 3])
    let loss = try ExecutionContext(threads: 1, instructionSet: set)
      .crossEntropy(&logits, targets: [0], smoothing: 0, gradientScale: 1)
    #expect(loss.sum == 0 && loss.correct == 1, "\(loss)")
  }
}
