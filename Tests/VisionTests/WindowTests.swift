import Settings
import Tensors
import Testing

@testable import Vision

/// Where windows stand on a grid.
@Suite struct WindowTests {
  @Test(
    "a window's grid is counted by trying every place",
    arguments: [1, 2, 3, 7, 8, 33],
    [(1, 1, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (2, 2, 0, 1), (3, 1, 2, 2), (7, 3, 2, 1)])
  func counting(extent: Int, window: (size: Int, stride: Int, padding: Int, dilation: Int)) throws {
    let window = Window(
      window.size, stride: window.stride, padding: window.padding, dilation: window.dilation)
    let last = extent - 1 + window.padding
    let count = stride(from: -window.padding, through: last, by: window.stride)
      .count { $0 + window.dilation * (window.size - 1) <= last }
    let found = window.grid(over: Grid(height: extent, width: 40))
    #expect((found?.height ?? 0) == count)
    #expect(count == 0 || found?.width == (40 + 2 * window.padding - window.reach) / window.stride + 1)
  }

  @Test("a window that is larger than the image is refused in one line")
  func refusal() throws {
    let error = #expect(throws: ConfigurationError.self) {
      try Window(7, padding: 1).grid(over: Grid(height: 4, width: 9), of: "stem")
    }
    #expect("\(try #require(error))".contains("sides of at least 5"))
  }

  @Test("a centred window keeps the grid")
  func centred() {
    let grid = Grid(height: 5, width: 1)
    #expect(Window.centred(7).grid(over: grid) == grid)
    #expect(Window.centred(3, stride: 2).grid(over: grid) == Grid(height: 3, width: 1))
  }
}
