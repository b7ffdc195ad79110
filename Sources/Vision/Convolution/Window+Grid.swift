import Layers
import Settings
import Tensors

/// What a window makes of a grid, or the one line that says why it makes nothing.
extension Window {
  /// The grid of the result.
  /// - Parameters:
  ///   - grid: the places of the input.
  ///   - name: the layer that reads them.
  /// - Throws: `ConfigurationError` where the window is larger than the padded image.
  package func grid(over grid: Grid, of name: String) throws(ConfigurationError) -> Grid {
    if let result = self.grid(over: grid) { return result }
    throw ConfigurationError(
      field: "images", value: "\(grid)",
      allowed: "sides of at least \(max(1, reach - 2 * padding)) for the window of \(size) in \(name)")
  }
}
