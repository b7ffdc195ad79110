import Tensors

/// Images in Double: rows of channels, image after image, row by row.
struct Pixels {
  var rows: [[Double]]
  var grid: Grid
  let batch: Int

  var channels: Int { rows.first?.count ?? 0 }

  init(_ rows: [[Double]], _ grid: Grid, batch: Int) {
    (self.rows, self.grid, self.batch) = (rows, grid, batch)
  }

  init(_ x: Tensor, _ grid: Grid, batch: Int) {
    let values = x.array().map(Double.init), width = x.shape[1]
    self.init(
      (0..<x.shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) }, grid, batch: batch)
  }

  /// A place of an image; outside it `nil`.
  func at(_ image: Int, _ y: Int, _ x: Int) -> [Double]? {
    guard y >= 0, x >= 0, y < grid.height, x < grid.width else { return nil }
    return rows[(image * grid.height + y) * grid.width + x]
  }

  /// The rows of an image.
  func image(_ number: Int) -> [[Double]] { Array(rows[number * grid.count..<(number + 1) * grid.count]) }

  /// The same with other rows.
  func mapped(_ body: ([Double]) -> [Double]) -> Pixels { Pixels(rows.map(body), grid, batch: batch) }

  /// One row of every window of every image, of another grid.
  func windows(_ window: Window, _ body: (_ image: Int, _ places: [[[Double]?]]) -> [Double]) -> Pixels {
    guard let result = window.grid(over: grid) else { return Pixels([], grid, batch: batch) }
    var rows: [[Double]] = []
    for image in 0..<batch {
      for y in 0..<result.height {
        for x in 0..<result.width {
          rows.append(
            body(
              image,
              (0..<window.size).map { i in
                (0..<window.size).map { j in
                  at(
                    image, y * window.stride - window.padding + window.dilation * i,
                    x * window.stride - window.padding + window.dilation * j)
                }
              }))
        }
      }
    }
    return Pixels(rows, result, batch: batch)
  }

  /// Two of equal extents, element by element.
  func combined(_ other: Pixels, _ body: (Double, Double) -> Double) -> Pixels {
    Pixels(zip(rows, other.rows).map { zip($0, $1).map(body) }, grid, batch: batch)
  }
}
