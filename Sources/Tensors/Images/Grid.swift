/// The places of an image, row by row: the place (y, x) is row `y·width + x` of the image's rows.
///
/// A batch of images `[batch, height, width, channels]` is rows `[batch·height·width, channels]` with a grid beside them.
public struct Grid: Hashable, Sendable, CustomStringConvertible {
  /// Rows of places.
  public let height: Int
  /// Places of a row.
  public let width: Int

  /// Takes extents.
  /// - Precondition: both at least 1.
  public init(height: Int, width: Int) {
    precondition(height >= 1 && width >= 1, "a grid of \(height) × \(width) places")
    (self.height, self.width) = (height, width)
  }

  /// Places in all.
  public var count: Int { height * width }

  /// Such as `28 × 28`.
  public var description: String { "\(height) × \(width)" }
}
