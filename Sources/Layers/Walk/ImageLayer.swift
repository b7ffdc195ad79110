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
