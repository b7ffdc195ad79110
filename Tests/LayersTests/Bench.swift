import Attention
import AttentionCore
import Basics
import Tensors

@testable import Layers

/// Parameters and a walk over them.
struct Bench {
  let run: LayerRun
  let layout: ParameterLayout

  init(_ layout: ParameterLayout) throws {
    self.layout = layout
    let key = RandomKey(seed: 5)
    var values = try layout.initialValues(key: key)
    let context = ExecutionContext.recycling(threads: 2)
    context.accumulate(
      try Tensor.normal([layout.count], key: key("noise"), standardDeviation: 0.2), into: &values)
    run = LayerRun(
      state: try ModelState(weights: values, buffers: []), context: context,
      planner: AttentionPlanner(catalog: .standard, key: key), training: false, key: key)
  }

  func values(_ slot: ParameterSlot) -> [Double] { run.weight(slot).array().map(Double.init) }

  /// `W·x + b`.
  func apply(_ linear: Linear, _ x: [Double]) -> [Double] {
    let w = values(linear.weight), b = linear.bias.map(values)
    return (0..<linear.weight.shape[0]).map { row in
      var sum = b?[row] ?? 0
      for column in x.indices { sum += w[row * x.count + column] * x[column] }
      return sum
    }
  }
}

/// Tensors as rows in Double.
enum Rows {
  static func of(_ x: Tensor) -> [[Double]] {
    let values = x.array().map(Double.init), width = x.shape[1]
    return (0..<x.shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) }
  }

  /// The largest difference, relative to the largest element.
  static func error(_ a: [[Double]], _ b: [[Double]]) -> Double {
    let size = b.joined().map(abs).max() ?? 1
    return (zip(a.joined(), b.joined()).map { abs($0 - $1) }.max() ?? 0) / max(size, 1e-9)
  }
}
