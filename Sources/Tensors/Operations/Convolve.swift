import CKernels

/// A short causal convolution over the rows of every sequence, with a filter a column and SiLU behind it:
/// `y_t = SiLU(z_t)`, `z_t = b + Σ_u w_u∘x_{t − taps + 1 + u}`, x `[batch·length, columns]`, w `[taps, columns]`, b `[columns]`.
extension ExecutionContext {
  /// The most rows that a filter reads.
  public static let mostTaps = 8

  /// y, and where it is asked for SiLU′(z), for the way back. - Complexity: O(rows·columns·taps).
  /// - Parameters:
  ///   - x: the rows of all sequences, one sequence behind the other.
  ///   - past: the rows before the first of one sequence, `[taps − 1, columns]`; `nil`: zeros stand before every sequence.
  ///   - weight: `[taps, columns]`.
  ///   - bias: `[columns]`; `nil`: none.
  ///   - batch: sequences.
  ///   - withSlope: whether there is a way back.
  /// - Throws: `MemoryLimitExceeded`.
  public func convolve(
    _ x: Tensor, past: Tensor?, weight: Tensor, bias: Tensor?, batch: Int, withSlope: Bool
  ) throws(MemoryLimitExceeded) -> (after: Tensor, slope: Tensor?) {
    let columns = x.shape[1], taps = weight.shape[0], rows = x.shape[0] / batch
    check(x, weight)
    precondition(past == nil || batch == 1, "a past of \(batch) sequences")
    var y = try empty(x.shape), slope = withSlope ? try empty(x.shape) : nil
    let x = x.pinned(), past = past?.contiguous().pinned(), weight = weight.contiguous().pinned()
    let bias = bias?.contiguous().pinned(), target = y.pinnedForWriting(), slopes = slope?.pinnedForWriting()
    slices(columns, grain: 64, cost: rows * batch * (taps + 16)) { part in
      for sequence in 0..<batch {
        let at = sequence * rows * columns + part.lowerBound
        attn_convolve(
          isa, x + at, past.map { UnsafePointer($0 + part.lowerBound) }, weight + part.lowerBound,
          bias.map { UnsafePointer($0 + part.lowerBound) }, target + at, slopes.map { $0 + at }, columns,
          rows, part.count, taps)
      }
    }
    return (y, slope)
  }

  /// The gradient of x where zeros stand before every sequence; adds those of w and b to `gradients`.
  /// - Throws: `MemoryLimitExceeded`.
  public func convolveBackward(
    _ dy: Tensor, slope: Tensor, x: Tensor, weight: Tensor, batch: Int, gradients: inout Tensor,
    weightAt: Int, biasAt: Int?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let columns = x.shape[1], taps = weight.shape[0], rows = x.shape[0] / batch
    check(x, weight)
    precondition(
      dy.shape == x.shape && dy.isContiguous && slope.shape == x.shape, "\(dy.shape) against \(x.shape)")
    var dx = try empty(x.shape)
    let x = x.pinned(), dy = dy.pinned(), slope = slope.pinned(), weight = weight.contiguous().pinned()
    let target = dx.pinnedForWriting(), sums = gradients.pinnedForWriting()
    slices(columns, grain: 64, cost: 2 * rows * batch * taps) { part in
      let first = part.lowerBound
      for sequence in 0..<batch {
        let at = sequence * rows * columns + first
        attn_convolve_backward(
          isa, dy + at, slope + at, x + at, weight + first, target + at, sums + (weightAt + first),
          biasAt.map { sums + ($0 + first) }, columns, rows, part.count, taps)
      }
    }
    return dx
  }

  private func check(_ x: Tensor, _ weight: Tensor) {
    precondition(
      x.isContiguous && weight.shape[1] == x.shape[1] && weight.shape[0] <= Self.mostTaps,
      "a convolution of \(x.shape) with \(weight.shape)")
  }

  /// `x∘f(z)`, f SiLU or the logistic function. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func gate(_ x: Tensor, by z: Tensor, logistic: Bool) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.shape == z.shape && z.isContiguous, "\(x.shape) against \(z.shape)")
    let z = z.pinned()
    return try map(
      x, cost: 8,
      withStart: { start, x, y, count in attn_gate(isa, logistic ? 1 : 0, x, z.pointer + start, y, count) })
  }

  /// The gradients of x and z. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func gateBackward(
    _ dy: Tensor, x: Tensor, by z: Tensor, logistic: Bool
  ) throws(MemoryLimitExceeded) -> (x: Tensor, z: Tensor) {
    precondition(x.shape == z.shape && dy.shape == x.shape && z.isContiguous && dy.isContiguous)
    var dz = try empty(z.shape)
    let (dy, z, target) = (dy.pinned(), z.pinned(), dz.pinnedForWriting())
    let dx = try map(
      x, cost: 16,
      withStart: { start, x, dx, count in
        attn_gate_backward(
          isa, logistic ? 1 : 0, dy.pointer + start, x, z.pointer + start, dx, target.pointer + start, count)
      })
    return (dx, dz)
  }
}
