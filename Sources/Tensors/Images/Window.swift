/// A square window that is moved over a grid: of a convolution, of pooling.
///
/// The window of the place (y, x) of the result covers the places `(s·y − p + d·i, s·x − p + d·j)` of its input,
/// `0 ≤ i, j < size`, with stride s, padding p and dilation d. Those outside the input are padding.
public struct Window: Hashable, Sendable {
  /// Places along a side.
  public let size: Int
  /// Places of the input from one window to the next.
  public let stride: Int
  /// Places around the input that windows may cover.
  public let padding: Int
  /// Places of the input from one place of a window to the next.
  public let dilation: Int

  /// Takes extents.
  /// - Precondition: size, stride and dilation at least 1, padding at least 0.
  public init(_ size: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1) {
    precondition(
      size >= 1 && stride >= 1 && padding >= 0 && dilation >= 1,
      "a window of \(size), stride \(stride), padding \(padding), dilation \(dilation)")
    (self.size, self.stride, self.padding, self.dilation) = (size, stride, padding, dilation)
  }

  /// A window of odd size whose result has as many places as its input, at stride 1.
  /// - Precondition: an odd size.
  public static func centred(_ size: Int, stride: Int = 1) -> Window {
    precondition(size % 2 == 1, "a window of \(size) has no centre")
    return Window(size, stride: stride, padding: size / 2)
  }

  /// Places of a window.
  public var count: Int { size * size }
  /// Places that a window reaches over along a side.
  public var reach: Int { dilation * (size - 1) + 1 }

  /// The places of the result; `nil`: the window is larger than the padded input.
  /// - Complexity: O(1).
  public func grid(over grid: Grid) -> Grid? {
    guard let height = extent(over: grid.height), let width = extent(over: grid.width) else { return nil }
    return Grid(height: height, width: width)
  }

  private func extent(over extent: Int) -> Int? {
    let room = extent + 2 * padding - reach
    return room < 0 ? nil : room / stride + 1
  }
}
