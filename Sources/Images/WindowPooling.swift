import Tensors

/// The largest or the mean element of what a window covers, channel by channel. Places outside an image do not count; a window
/// that covers none gives 0.
extension ExecutionContext {
  /// The largest element of every window, and the row of x where it stands, the first of several; −1: the window covers nothing.
  /// What is no number wins.
  /// - Parameters:
  ///   - x: images `[batch·places, channels]`.
  ///   - grid: the places of an image.
  ///   - window: how windows move.
  /// - Returns: `[batch·windows, channels]`, and as many rows of x.
  /// - Precondition: the window fits the padded image; there are fewer than 2³¹ rows.
  /// - Complexity: O(batch·windows·size²·channels).
  /// - Throws: `MemoryLimitExceeded`.
  public func maxPool(
    _ x: Tensor, over grid: Grid, _ window: Window
  ) throws(MemoryLimitExceeded) -> (output: Tensor, winners: PinnedView<Int32>) {
    let cover = cover(x, over: grid, window), channels = x.shape[1]
    let windows = x.shape[0] / grid.count * cover.result.count
    var y = try zeros([windows, channels])
    let winners = try PinnedView<Int32>(repeating: -1, count: windows * channels, in: ledger)
    let (x, yView) = (x.pinned(), y.pinnedForWriting())
    slices(windows, grain: 16, cost: window.count * channels) { part in
      for place in part {
        let best = Best(values: yView + place * channels, rows: winners + place * channels)
        cover.forEachRow(of: place) { best.take(x + $0 * channels, of: $0, channels: channels) }
      }
    }
    return (y, winners)
  }

  /// The gradient of x: what a window gives goes to its winner. - Complexity: O(batch·windows·channels).
  /// - Parameters:
  ///   - dy: the gradient of the result, of `batch` images.
  ///   - winners: what `maxPool` or `maxRows` found.
  ///   - batch: images.
  ///   - rows: those of x.
  /// - Throws: `MemoryLimitExceeded`.
  public func maxPoolBackward(
    _ dy: Tensor, winners: PinnedView<Int32>, batch: Int, rows: Int
  ) throws(MemoryLimitExceeded) -> Tensor {
    let channels = dy.shape[1], windows = dy.shape[0] / batch
    var dx = try zeros([rows, channels])
    let (dy, dxView) = (dy.pinned(), dx.pinnedForWriting())
    // Windows of one image may have the same winner.
    slices(batch, grain: 1, cost: windows * channels) { images in
      for place in images.lowerBound * windows..<images.upperBound * windows {
        for channel in 0..<channels {
          let at = place * channels + channel, row = Int(winners[at])
          if row >= 0 { dxView[row * channels + channel] += dy[at] }
        }
      }
    }
    return dx
  }

  /// The mean of every window: `[batch·places, channels]` → `[batch·windows, channels]`.
  /// - Complexity: O(batch·windows·size²·channels).
  /// - Throws: `MemoryLimitExceeded`.
  public func meanPool(_ x: Tensor, over grid: Grid, _ window: Window) throws(MemoryLimitExceeded) -> Tensor {
    let cover = cover(x, over: grid, window), channels = x.shape[1]
    let windows = x.shape[0] / grid.count * cover.result.count
    var y = try zeros([windows, channels])
    let (x, yView) = (x.pinned(), y.pinnedForWriting())
    slices(windows, grain: 16, cost: window.count * channels) { part in
      for place in part {
        let sum = yView + place * channels
        var count = 0
        cover.forEachRow(of: place) { row in
          count += 1
          for channel in 0..<channels { sum[channel] += x[row * channels + channel] }
        }
        let share = 1 / Float(max(1, count))
        for channel in 0..<channels { sum[channel] *= share }
      }
    }
    return y
  }

  /// The gradient of x: every place that a window covers gets its share. - Complexity: O(batch·windows·size²·channels).
  /// - Throws: `MemoryLimitExceeded`.
  public func meanPoolBackward(
    _ dy: Tensor, batch: Int, over grid: Grid, _ window: Window
  ) throws(MemoryLimitExceeded) -> Tensor {
    let channels = dy.shape[1], windows = dy.shape[0] / batch
    var dx = try zeros([batch * grid.count, channels])
    let cover = cover(dx, over: grid, window)
    let (dy, dxView) = (dy.pinned(), dx.pinnedForWriting())
    slices(batch, grain: 1, cost: windows * window.count * channels) { images in
      for place in images.lowerBound * windows..<images.upperBound * windows {
        var count = 0
        cover.forEachRow(of: place) { _ in count += 1 }
        let share = 1 / Float(max(1, count))
        cover.forEachRow(of: place) { row in
          for channel in 0..<channels {
            dxView[row * channels + channel] += share * dy[place * channels + channel]
          }
        }
      }
    }
    return dx
  }

  /// The largest element of every channel of an image, and the row of x where it stands, the first of several:
  /// `[batch·places, channels]` → `[batch, channels]`. What is no number wins.
  /// - Complexity: O(elements).
  /// - Throws: `MemoryLimitExceeded`.
  public func maxRows(
    _ x: Tensor, batch: Int
  ) throws(MemoryLimitExceeded) -> (output: Tensor, winners: PinnedView<Int32>) {
    let channels = x.shape[1], places = x.shape[0] / batch
    precondition(x.isContiguous && x.shape[0] % batch == 0, "\(batch) images of \(x.shape)")
    var y = try zeros([batch, channels])
    let winners = try PinnedView<Int32>(repeating: -1, count: batch * channels, in: ledger)
    let (x, yView) = (x.pinned(), y.pinnedForWriting())
    slices(batch, grain: 1, cost: places * channels) { images in
      for image in images {
        let best = Best(values: yView + image * channels, rows: winners + image * channels)
        for row in image * places..<(image + 1) * places {
          best.take(x + row * channels, of: row, channels: channels)
        }
      }
    }
    return (y, winners)
  }

  private func cover(_ x: Tensor, over grid: Grid, _ window: Window) -> Cover {
    guard let result = window.grid(over: grid) else {
      preconditionFailure("a window of \(window.reach) places over \(grid)")
    }
    precondition(
      x.rank == 2 && x.isContiguous && x.shape[0] % grid.count == 0, "\(x.shape) for images of \(grid)")
    return Cover(grid: grid, window: window, result: result)
  }
}

/// The largest elements so far, and where they stand.
private struct Best {
  let values: UnsafeMutablePointer<Float>
  let rows: UnsafeMutablePointer<Int32>

  func take(_ x: UnsafePointer<Float>, of row: Int, channels: Int) {
    for channel in 0..<channels {
      let value = x[channel]
      if rows[channel] < 0 || value > values[channel] || (value.isNaN && !values[channel].isNaN) {
        (values[channel], rows[channel]) = (value, Int32(truncatingIfNeeded: row))
      }
    }
  }
}

/// What windows cover.
private struct Cover {
  let grid: Grid
  let window: Window
  let result: Grid

  /// Calls `body` with every row of an image's places that a window covers, in order.
  func forEachRow(of place: Int, _ body: (Int) -> Void) {
    let (image, rest) = place.quotientAndRemainder(dividingBy: result.count)
    let top = rest / result.width * window.stride - window.padding
    let left = rest % result.width * window.stride - window.padding
    for i in 0..<window.size {
      let y = top + window.dilation * i
      guard y >= 0, y < grid.height else { continue }
      for j in 0..<window.size {
        let column = left + window.dilation * j
        if column >= 0, column < grid.width { body((image * grid.height + y) * grid.width + column) }
      }
    }
  }
}
