import Basics
import Tensors
import Testing

@Suite struct ColumnMomentsTests {
  @Test("moments of some rows are constants to the others")
  func moments() throws {
    let compute = ExecutionContext(threads: 1)
    let x = try Tensor.normal([7, 3], key: RandomKey(seed: 1))
    let runs = [0..<2, 4..<6]
    let rows = try Tensor([0, 1, 4, 5].flatMap { row in (0..<3).map { x[row, $0] } }, shape: [4, 3])
    let (part, alone) = (try compute.columnMoments(x, of: runs), try compute.columnMoments(rows))
    #expect(part.mean == alone.mean)
    #expect(part.variance == alone.variance)
    let dy = try Tensor.normal([7, 3], key: RandomKey(seed: 2))
    let gain = try Tensor([1, 2, 3], shape: [3])
    var gradients = try Tensor(zeros: [6])
    let dx = try compute.batchNormalizeBackward(
      dy, x: x, mean: part.mean, variance: part.variance, epsilon: 1e-5, gain: gain, momentsOf: runs,
      gradients: &gradients, gainAt: 0, shiftAt: 3)
    // Differences of Σ dy·y, whose moments come from some rows alone.
    func loss(_ x: Tensor) throws -> Double {
      let moments = try compute.columnMoments(x, of: runs)
      let y = try compute.scaleColumns(
        x, mean: moments.mean, variance: moments.variance, epsilon: 1e-5, gain: gain,
        shift: try Tensor(zeros: [3]))
      return zip(y.array(), dy.array()).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    for place in 0..<21 {
      func moved(_ step: Float) throws -> Tensor {
        var values = x.array()
        values[place] += step
        return try Tensor(values, shape: [7, 3])
      }
      let slope = try (loss(moved(0x1p-8)) - loss(moved(-0x1p-8))) * 128
      #expect(abs(slope - Double(dx.array()[place])) < 2e-3, "place \(place)")
    }
  }
}
