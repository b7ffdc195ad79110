import Images
import Layers
import Settings
import Tensors

/// The largest or the mean element of every window over images, channel by channel; places outside an image do not count.
///
/// x `[batch·places, channels]` → `[batch·windows, channels]`. The gradient of a largest element goes to the first of several.
package struct WindowPooling: ImageLayer {
  package enum Kind: Sendable {
    case max
    case mean
  }

  package let name: String
  package let kind: Kind
  package let window: Window

  package init(_ name: String, _ kind: Kind, _ window: Window) {
    (self.name, self.kind, self.window) = (name, kind, window)
  }

  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid {
    try window.grid(over: grid, of: name)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, grid = run.imageGrid, batch = run.batch, rows = x.shape[0]
    _ = try self.grid(over: grid)
    switch kind {
    case .max:
      let (y, winners) = try context.maxPool(x, over: grid, window)
      let pullback = Pullback { dy, residual in
        try context.sum(
          residual, context.maxPoolBackward(dy, winners: winners, batch: batch, rows: rows))
      }
      return (y, pullback)
    case .mean:
      let pullback = Pullback { dy, residual in
        try context.sum(residual, context.meanPoolBackward(dy, batch: batch, over: grid, window))
      }
      return (try context.meanPool(x, over: grid, window), pullback)
    }
  }
}
