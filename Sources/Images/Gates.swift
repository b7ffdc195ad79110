import CKernels
import Tensors

/// Factors of channels, of places, and of single elements; sums are in Double.
extension ExecutionContext {
  /// `Σ x∘y`, summed in Double in order. - Complexity: O(count).
  public func dot(_ x: Tensor, _ y: Tensor) -> Double {
    precondition(x.count == y.count && x.isContiguous && y.isContiguous, "\(x.shape) against \(y.shape)")
    let count = x.count, (x, y) = (x.pinned(), y.pinned())
    var sum = 0.0
    for at in 0..<count { sum += Double(x[at]) * Double(y[at]) }
    return sum
  }

  /// Every channel of an image times a number: `y[b, p, c] = gate[b, c]·x[b, p, c]`, x `[batch·places, channels]`, gate
  /// `[batch, channels]`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func scaleChannels(_ x: Tensor, by gate: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    let (rows, channels, places) = channelGate(x, gate)
    var y = try empty(x.shape)
    let (x, gate, yView) = (x.pinned(), gate.pinned(), y.pinnedForWriting())
    slices(rows, grain: 64, cost: channels) { part in
      for row in part {
        let factors = gate + row / places * channels
        for at in 0..<channels { yView[row * channels + at] = factors[at] * x[row * channels + at] }
      }
    }
    return y
  }

  /// `Σ_p dy[b, p, c]·x[b, p, c]`: the gradient of the gate of `scaleChannels`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func channelProducts(_ dy: Tensor, _ x: Tensor, batch: Int) throws(MemoryLimitExceeded) -> Tensor {
    let channels = x.shape[1], places = x.shape[0] / batch
    precondition(dy.shape == x.shape && dy.isContiguous && x.isContiguous, "\(dy.shape), \(x.shape)")
    var result = try empty([batch, channels])
    let sums = try PinnedView<Double>(repeating: 0, count: batch * channels, in: ledger)
    let (x, dy, view) = (x.pinned(), dy.pinned(), result.pinnedForWriting())
    slices(batch, grain: 1, cost: places * channels) { images in
      for image in images {
        let sum = sums + image * channels
        for row in image * places..<(image + 1) * places {
          for at in 0..<channels {
            sum[at] += Double(dy[row * channels + at]) * Double(x[row * channels + at])
          }
        }
        for at in 0..<channels { view[image * channels + at] = Float(sum[at]) }
      }
    }
    return result
  }

  /// Every row times a number: `y_i = gate_i·x_i`, x `[rows, channels]`, gate `[rows, 1]`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func scaleRows(_ x: Tensor, by gate: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], channels = x.shape[1]
    precondition(gate.count == rows && gate.isContiguous && x.isContiguous, "\(gate.shape) for \(x.shape)")
    var y = try empty(x.shape)
    let (x, gate, yView) = (x.pinned(), gate.pinned(), y.pinnedForWriting())
    slices(rows, grain: 64, cost: channels) { part in
      for row in part {
        for at in row * channels..<(row + 1) * channels { yView[at] = gate[row] * x[at] }
      }
    }
    return y
  }

  /// `Σ_c dy[i, c]·x[i, c]`: the gradient of the gate of `scaleRows`, `[rows, 1]`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func rowProducts(_ dy: Tensor, _ x: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], channels = x.shape[1]
    precondition(dy.shape == x.shape && dy.isContiguous && x.isContiguous, "\(dy.shape), \(x.shape)")
    var result = try empty([rows, 1])
    let (x, dy, view) = (x.pinned(), dy.pinned(), result.pinnedForWriting())
    slices(rows, grain: 64, cost: channels) { part in
      for row in part {
        var sum = 0.0
        for at in row * channels..<(row + 1) * channels { sum += Double(dy[at]) * Double(x[at]) }
        view[row] = Float(sum)
      }
    }
    return result
  }

  /// The mean and the largest element of every row, `[rows, 2]`, and in which column the largest stands, the first of several.
  /// - Parameters:
  ///   - x: `[rows, channels]`.
  ///   - maxFirst: whether the largest stands before the mean.
  /// - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func meanAndMax(
    ofRows x: Tensor, maxFirst: Bool
  ) throws(MemoryLimitExceeded) -> (output: Tensor, winners: PinnedView<Int32>) {
    let rows = x.shape[0], channels = x.shape[1]
    precondition(x.isContiguous && channels > 0, "rows of \(x.shape)")
    var y = try empty([rows, 2])
    let winners = try PinnedView<Int32>(repeating: 0, count: rows, in: ledger)
    let (x, yView) = (x.pinned(), y.pinnedForWriting())
    slices(rows, grain: 64, cost: channels) { part in
      for row in part {
        let values = x + row * channels
        var (sum, best) = (0.0, 0)
        for at in 0..<channels {
          sum += Double(values[at])
          if values[at] > values[best] || (values[at].isNaN && !values[best].isNaN) { best = at }
        }
        winners[row] = Int32(truncatingIfNeeded: best)
        yView[2 * row + (maxFirst ? 1 : 0)] = Float(sum / Double(channels))
        yView[2 * row + (maxFirst ? 0 : 1)] = values[best]
      }
    }
    return (y, winners)
  }

  /// The gradient of x through `meanAndMax`, added to another. - Complexity: O(count).
  /// - Parameters:
  ///   - dy: `[rows, 2]`.
  ///   - winners: what the forward pass found.
  ///   - maxFirst: whether the largest stands before the mean.
  ///   - other: `[rows, channels]`.
  /// - Throws: `MemoryLimitExceeded`.
  public func meanAndMaxBackward(
    _ dy: Tensor, winners: PinnedView<Int32>, maxFirst: Bool, adding other: Tensor
  ) throws(MemoryLimitExceeded) -> Tensor {
    let rows = other.shape[0], channels = other.shape[1]
    precondition(dy.shape == [rows, 2] && other.isContiguous, "\(dy.shape) for \(other.shape)")
    var dx = try empty(other.shape)
    let (dy, other, view) = (dy.pinned(), other.pinned(), dx.pinnedForWriting())
    slices(rows, grain: 64, cost: channels) { part in
      for row in part {
        let share = dy[2 * row + (maxFirst ? 1 : 0)] / Float(channels)
        for at in row * channels..<(row + 1) * channels { view[at] = other[at] + share }
        view[row * channels + Int(winners[row])] += dy[2 * row + (maxFirst ? 0 : 1)]
      }
    }
    return dx
  }

  /// The softmax of every row of x `[rows, n]`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func softmaxRows(_ x: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], n = x.shape[1]
    precondition(x.isContiguous, "rows of \(x.shape)")
    var y = try empty(x.shape)
    let (x, yView) = (x.pinned(), y.pinnedForWriting())
    slices(rows, grain: 16, cost: 8 * n) { part in
      for row in part { _ = attn_dense_softmax(isa, yView + row * n, x + row * n, Int32(n), Int32(n)) }
    }
    return y
  }

  /// `y∘(dy − Σ dy∘y)` by rows: the gradient of x where y is its softmax. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func softmaxRowsBackward(_ dy: Tensor, y: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    let rows = y.shape[0], n = y.shape[1]
    precondition(dy.shape == y.shape && dy.isContiguous && y.isContiguous, "\(dy.shape) for \(y.shape)")
    var dx = try empty(y.shape)
    let (dy, y, view) = (dy.pinned(), y.pinned(), dx.pinnedForWriting())
    slices(rows, grain: 16, cost: n) { part in
      for row in part {
        (view + row * n).update(from: dy + row * n, count: n)
        attn_dense_softmax_gradient(isa, view + row * n, y + row * n, Int32(n), Int32(n))
      }
    }
    return dx
  }

  private func channelGate(_ x: Tensor, _ gate: Tensor) -> (rows: Int, channels: Int, places: Int) {
    let rows = x.shape[0], channels = x.shape[1], batch = gate.shape[0]
    precondition(
      gate.shape == [batch, channels] && rows % batch == 0 && x.isContiguous && gate.isContiguous,
      "\(gate.shape) for \(x.shape)")
    return (rows, channels, rows / batch)
  }
}
