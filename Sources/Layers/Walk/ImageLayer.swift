import Settings
import Tensors

/// A layer over images, whose result may have another grid than its input.
///
/// x `[batch·height·width, channels]` with the grid in the run → rows of the grid that `grid(over:)` gives. A chain of layers
/// tells every layer the grid of its own input.
package protocol ImageLayer: Layer {
  /// The grid of the result.
  /// - Throws: `ConfigurationError` for a grid that the layer cannot read.
  func grid(over grid: Grid) throws(ConfigurationError) -> Grid
  /// What a pass computes, for the closed form of its operations.
  func work(on size: WalkSize) -> [Work]
}

/// Most layers leave the grid as it is, and do little.
extension ImageLayer {
  /// The same.
  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid { grid }
  /// Nothing that is counted.
  package func work(on size: WalkSize) -> [Work] { [] }
}

/// Layers over images on top of each other.
package struct ImageChain: ImageLayer {
  package let layers: [any Layer]

  package init(_ layers: [any Layer]) { self.layers = layers }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try run.chain(layers, x)
  }

  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid {
    var grid = grid
    for case let layer as any ImageLayer in layers { grid = try layer.grid(over: grid) }
    return grid
  }

  package func work(on size: WalkSize) -> [Work] {
    var (work, size) = ([Work](), size)
    for case let layer as any ImageLayer in layers {
      work += layer.work(on: size)
      // What cannot be read computes nothing, nor does what stands behind it.
      guard let grid = size.grid, let next = try? layer.grid(over: grid) else { return work }
      (size.grid, size.length) = (next, next.count)
    }
    return work
  }
}

extension LayerRun {
  /// The grid of the images that are walked through.
  /// - Precondition: there is one: whoever starts a walk over images says it.
  package var imageGrid: Grid {
    guard let grid else { preconditionFailure("a walk over images knows their grid") }
    return grid
  }

  /// The same walk over images of another grid.
  package func over(_ grid: Grid) -> LayerRun {
    var run = self
    run.grid = grid
    return run
  }

  /// The walk behind a layer: on the grid that it gives.
  /// - Throws: `ConfigurationError` for a grid that the layer cannot read.
  package func behind(_ layer: any Layer) throws(ConfigurationError) -> LayerRun {
    guard let layer = layer as? any ImageLayer else { return self }
    return over(try layer.grid(over: imageGrid))
  }
}
