import Basics
import Foundation
import Images
import Layers
import Tensors
import Testing

@testable import Vision

/// What a convolution reaches of the rate of the packed product that it rides on; measured where it is asked for, in an optimised
/// build on a quiet machine:
///
///     ATTNLAB_MEASURE=1 swift test -c release -Xswiftc -enable-testing --scratch-path .build/test --disable-xctest \
///       --filter ConvolutionRateTests
@Suite struct ConvolutionRateTests {
  static let isAsked = ProcessInfo.processInfo.environment["ATTNLAB_MEASURE"] != nil

  /// Operations a second, the best of some passes.
  private static func rate(_ operations: Double, _ body: () throws -> Void) rethrows -> Double {
    var best = Duration.seconds(1e6)
    for _ in 0..<12 { best = min(best, try ContinuousClock().measure(body)) }
    let (seconds, attoseconds) = best.components
    return operations / (Double(seconds) + Double(attoseconds) * 1e-18)
  }

  @Test(
    "3×3 at 64 channels reaches 70 % of the packed product's rate, forward and back", .enabled(if: isAsked),
    arguments: [1, 2])
  func rate(threads: Int) throws {
    let context = ExecutionContext.recycling(threads: threads), grid = Grid(height: 56, width: 56), batch = 8
    let shape = ConvolutionShape(.centred(3), from: 64, to: 64), rows = batch * grid.count
    let x = try Tensor.normal([rows, 64], key: RandomKey(seed: 1))
    let weight = try Tensor.normal(shape.weightShape, key: RandomKey(seed: 2))
    let patches = try Tensor.normal([rows, shape.terms], key: RandomKey(seed: 3))
    let matrix = weight.reshaped([64, shape.terms]), operations = 2 * Double(rows * shape.terms * 64)
    var gradients = try Tensor(zeros: [weight.count])
    let product = try Self.rate(operations) { _ = try context.matmul(patches, .plain, matrix, .transposed) }
    let forward = try Self.rate(operations) { _ = try context.convolve(x, over: grid, shape, weight: weight) }
    let back = try Self.rate(2 * operations) {
      _ = try context.convolveBackward(
        x, x: x, over: grid, shape, weight: weight, gradients: &gradients, weightAt: 0, biasAt: nil)
    }
    func shown(_ rate: Double) -> String {
      String(format: "%.1f GFLOP/s (%.0f %%)", rate / 1e9, 100 * rate / product)
    }
    print(
      "3×3, 64 channels, \(threads) threads: product \(shown(product)), forward \(shown(forward)), back \(shown(back))"
    )
    #expect(forward > 0.7 * product)
    #expect(back > 0.7 * product)
  }
}
