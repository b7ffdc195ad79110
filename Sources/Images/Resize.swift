import Tensors

/// Images of another size by bilinear interpolation between places, the corners on each other: place i of n reads
/// `i·(m − 1)/(n − 1)` of m (0 where n is 1).
///
/// Source: the `Interp` layer of Caffe's segmentation networks; PyTorch's `interpolate(mode="bilinear", align_corners=True)`.
extension ExecutionContext {
  /// `[batch·from, channels]` → `[batch·to, channels]`. - Complexity: O(elements of the result).
  /// - Throws: `MemoryLimitExceeded`.
  public func resize(_ x: Tensor, from grid: Grid, to result: Grid) throws(MemoryLimitExceeded) -> Tensor {
    let channels = x.shape[1], batch = x.shape[0] / grid.count
    precondition(x.isContiguous && x.shape[0] % grid.count == 0, "\(x.shape) for images of \(grid)")
    let corners = Corners(from: grid, to: result)
    var y = try zeros([batch * result.count, channels])
    let (x, yView) = (x.pinned(), y.pinnedForWriting())
    slices(batch * result.count, grain: 64, cost: 4 * channels) { part in
      for place in part {
        let (image, rest) = place.quotientAndRemainder(dividingBy: result.count)
        corners.forEach(of: rest) { source, weight in
          let row = (image * grid.count + source) * channels
          for at in 0..<channels { yView[place * channels + at] += weight * x[row + at] }
        }
      }
    }
    return y
  }

  /// The gradient of x. - Complexity: O(elements of the result).
  /// - Throws: `MemoryLimitExceeded`.
  public func resizeBackward(
    _ dy: Tensor, from grid: Grid, to result: Grid
  ) throws(MemoryLimitExceeded) -> Tensor {
    let channels = dy.shape[1], batch = dy.shape[0] / result.count
    precondition(dy.isContiguous && dy.shape[0] % result.count == 0, "\(dy.shape) for images of \(result)")
    let corners = Corners(from: grid, to: result)
    var dx = try zeros([batch * grid.count, channels])
    let (dy, dxView) = (dy.pinned(), dx.pinnedForWriting())
    slices(batch, grain: 1, cost: 4 * result.count * channels) { images in
      for image in images {
        for place in 0..<result.count {
          let from = (image * result.count + place) * channels
          corners.forEach(of: place) { source, weight in
            let row = (image * grid.count + source) * channels
            for at in 0..<channels { dxView[row + at] += weight * dy[from + at] }
          }
        }
      }
    }
    return dx
  }
}

/// The places that a place of the result lies between, with their weights.
private struct Corners {
  /// The place before, and the weight of the one behind it.
  private typealias Side = [(first: Int, share: Float)]
  private let rows: Side, columns: Side
  private let grid: Grid
  private let width: Int

  init(from grid: Grid, to result: Grid) {
    func side(_ count: Int, of length: Int) -> Side {
      (0..<count).map { place in
        let at = count == 1 ? 0 : Double(place) * Double(length - 1) / Double(count - 1)
        let first = min(Int(at), length - 1)
        return (first, Float(at - Double(first)))
      }
    }
    (self.grid, width) = (grid, result.width)
    (rows, columns) = (side(result.height, of: grid.height), side(result.width, of: grid.width))
  }

  func forEach(of place: Int, _ body: (_ source: Int, _ weight: Float) -> Void) {
    let (y, x) = (rows[place / width], columns[place % width])
    for (row, a) in [(y.first, 1 - y.share), (y.first + 1, y.share)] where a != 0 {
      for (column, b) in [(x.first, 1 - x.share), (x.first + 1, x.share)] where b != 0 {
        body(row * grid.width + column, a * b)
      }
    }
  }
}
