import Attention
import AttentionCore
import Basics
import Layers
import Tensors
import Testing

@testable import Vision

/// A layer on images with drawn parameters and pixels, beside its definition.
struct ImageBench {
  let layer: any Layer
  let layout: ParameterLayout
  let run: LayerRun
  let x: Tensor
  let grid: Grid
  let batch: Int

  init(
    _ channels: Int, _ grid: Grid, batch: Int = 2, training: Bool = true, threads: Int = 2,
    ledger: MemoryLedger? = nil, pixels: ((Int) -> Float)? = nil, _ make: (inout ImageParts) -> any Layer
  ) throws {
    var parts = ImageParts()
    layer = make(&parts)
    (self.grid, self.batch, layout) = (grid, batch, parts.layout)
    let key = RandomKey(seed: 5)
    var values = try layout.initialValues(key: key)
    var context = ExecutionContext.recycling(threads: threads)
    if let ledger { context.ledger = ledger }
    context.accumulate(
      try Tensor.normal([max(1, layout.count)], key: key("noise"), standardDeviation: 0.2).narrowed(
        axis: 0, to: 0..<layout.count), into: &values)
    let count = parts.buffers.reduce(0) { $0 + $1.count }
    // Running moments of their own; variances are positive.
    var random = key("moments").generator()
    let buffers = parts.buffers.flatMap { slot in
      (0..<slot.count).map { _ in
        slot.initial == 0 ? Float(random.normal()) / 2 : Float(0.5 + random.uniform())
      }
    }
    precondition(buffers.count == count)
    var run = LayerRun(
      state: try ModelState(weights: values, buffers: buffers), context: context,
      planner: AttentionPlanner(catalog: .standard, key: key), training: training, key: key)
    run = run.over(batch: batch, lengths: nil)
    run.grid = grid
    self.run = run
    let rows = batch * grid.count
    x =
      try pixels.map { try Tensor((0..<rows * channels).map($0), shape: [rows, channels]) }
      ?? Tensor.normal([rows, channels], key: RandomKey(seed: 1))
  }

  var definition: ImageDefinition {
    ImageDefinition(
      weights: run.state.weights.array().map(Double.init), buffers: run.state.buffers, training: run.training)
  }
  var pixels: Pixels { Pixels(x, grid, batch: batch) }

  /// The largest difference, relative to the largest element.
  static func error(_ a: [Double], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    let size = max(b.map(abs).max() ?? 1, 1e-9)
    return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / size
  }

  /// How far the result is off.
  func outputError() throws -> Double {
    var again = run
    again.isRepeated = true
    let found = try layer.forward(x, again).output.array().map(Double.init)
    return Self.error(found, definition.apply(layer, pixels).rows.flatMap(\.self))
  }

  /// How far gradients are off from difference quotients of the definition, x and every parameter along a direction each, relative
  /// to their length, or to a hundredth of that of all of them: some are sums that cancel.
  func gradientErrors() throws -> [(name: String, error: Double)] {
    var again = run
    again.isRepeated = true
    run.state.gradients = try Tensor(zeros: [layout.count])
    let (y, pullback) = try layer.forward(x, again)
    let factors = try Tensor.normal(y.shape, key: RandomKey(seed: 2))
    let dx = try pullback(factors).array().map(Double.init)
    let gradients = run.state.gradients.array().map(Double.init), r = factors.array().map(Double.init)
    let definition = definition, pixels = pixels
    func loss(_ weights: [Double], _ x: Pixels) -> Double {
      var moved = definition
      moved.weights = weights
      return zip(moved.apply(layer, x).rows.joined(), r).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func length(of x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let least = max(1e-3, 0.01 * length(of: dx + gradients))
    func error(_ gradient: [Double], _ name: String, _ moved: ([Double]) -> Double) throws -> Double {
      let drawn = try Tensor.normal([gradient.count], key: RandomKey(seed: 3)(name)).array().map(Double.init)
      let own = length(of: drawn), step = 1e-6
      let direction = drawn.map { $0 / own }
      let found = zip(gradient, direction).reduce(0) { $0 + $1.0 * $1.1 }
      let quotient =
        (moved(direction.map { $0 * step }) - moved(direction.map { -$0 * step })) / (2 * step)
      return abs(found - quotient) / max(length(of: gradient), least)
    }
    var errors = [
      (
        "x",
        try error(dx, "x") { shift in
          var rows: [[Double]] = []
          for (row, values) in pixels.rows.enumerated() {
            rows.append(values.indices.map { values[$0] + shift[row * values.count + $0] })
          }
          return loss(definition.weights, Pixels(rows, grid, batch: batch))
        }
      )
    ]
    for slot in layout.slots {
      errors.append(
        (
          slot.name,
          try error(Array(gradients[slot.range]), slot.name) { shift in
            var weights = definition.weights
            for (index, d) in zip(slot.range, shift) { weights[index] += d }
            return loss(weights, pixels)
          }
        ))
    }
    return errors
  }

  /// Judges result and gradients.
  func check(
    _ limit: Double = 1e-5, gradients: Double = 2e-5, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let error = try outputError()
    #expect(error < limit, "the result is off by \(error)", sourceLocation: sourceLocation)
    for (name, error) in try gradientErrors() {
      #expect(error < gradients, "\(name): off by \(error)", sourceLocation: sourceLocation)
    }
  }
}
