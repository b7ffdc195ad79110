import CKernels

/// What a row normalisation keeps for backward.
public struct NormStatistics: Sendable {
  /// The mean of every row (0 for RMSNorm), `[rows]`.
  public let mean: Tensor
  /// `1/√(variance + ε)` of every row, `[rows]`.
  public let inverseDeviation: Tensor
}

extension ExecutionContext {
  /// LayerNorm or RMSNorm over the last axis.
  ///
  /// `y = (x − mean)/√(var + ε)·gain + shift`; with `centred` false the mean is 0 and `var` is the mean square.
  /// x `[rows, dim]`, gain and shift `[dim]`. - Complexity: O(rows·dim).
  /// - Throws: `MemoryLimitExceeded`.
  public func normalize(
    _ x: Tensor, gain: Tensor, shift: Tensor?, centred: Bool, epsilon: Double
  ) throws(MemoryLimitExceeded) -> (Tensor, NormStatistics) {
    let rows = x.shape[0], dim = x.shape[1]
    precondition(x.isContiguous && gain.count == dim, "norm of \(x.shape) with gain \(gain.shape)")
    var y = try empty(x.shape), mean = try empty([rows]), deviation = try empty([rows])
    let x = x.pinned()
    let gain = gain.pinned()
    let shift = shift?.pinned()
    let yView = y.pinnedForWriting()
    let meanView = mean.pinnedForWriting()
    let deviationView = deviation.pinnedForWriting()
    slices(rows, grain: 32, cost: dim * 4) { part in
      let at = part.lowerBound
      attn_norm(
        isa, centred ? 1 : 0, x.pointer + at * dim, gain.pointer,
        shift.map { UnsafePointer($0.pointer) }, yView.pointer + at * dim, meanView.pointer + at,
        deviationView.pointer + at, part.count, dim, Float(epsilon))
    }
    return (y, NormStatistics(mean: mean, inverseDeviation: deviation))
  }

  /// The gradient of x; adds those of gain and shift into `gradients` at their offsets.
  ///
  /// `dx = (g − mean(g) − x̂·mean(g·x̂))/σ + addend`, `g = dy·gain`; `dgain = Σ dy·x̂`, `dshift = Σ dy`.
  /// - Parameters:
  ///   - dy: the gradient of the output, `[rows, dim]`.
  ///   - x: what was normalised, `[rows, dim]`.
  ///   - gain: the factor of every column, `[dim]`.
  ///   - statistics: what the forward pass found of every row.
  ///   - centred: whether the mean was taken off.
  ///   - addend: of x's shape: the gradient that a residual connection carries past the norm.
  ///   - gradients: where the gradients of gain and shift are added.
  ///   - gainAt: the first element of gain's gradient.
  ///   - shiftAt: the first element of shift's gradient; `nil`: there is no shift.
  /// - Complexity: O(rows·dim).
  /// - Throws: `MemoryLimitExceeded`.
  public func normalizeBackward(
    _ dy: Tensor, x: Tensor, gain: Tensor, statistics: NormStatistics, centred: Bool,
    adding addend: Tensor? = nil,
    gradients: inout Tensor, gainAt: Int, shiftAt: Int?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], dim = x.shape[1]
    precondition(dy.shape == x.shape && dy.isContiguous, "\(dy.shape) against \(x.shape)")
    precondition(
      addend.map { $0.count == x.count && $0.isContiguous } ?? true, "addend: \(x.shape) expected")
    let grain = max(64, (rows + 15) / 16), parts = (rows + grain - 1) / grain
    var dx = try empty(x.shape)
    // One row of partial sums a slice: the slices depend on the shape alone, and are added in order.
    var partial = try zeros([parts * 2, dim])
    let x = x.pinned()
    let dy = dy.pinned()
    let gain = gain.pinned()
    let mean = statistics.mean.pinned()
    let deviation = statistics.inverseDeviation.pinned()
    let dxView = dx.pinnedForWriting()
    let partialView = partial.pinnedForWriting()
    let addend = addend?.pinned()
    slices(rows, grain: grain, cost: dim * 8) { part in
      let at = part.lowerBound, row = partialView.pointer + at / grain * dim
      attn_norm_backward(
        isa, centred ? 1 : 0, x.pointer + at * dim, gain.pointer, mean.pointer + at,
        deviation.pointer + at, dy.pointer + at * dim,
        addend.map { UnsafePointer($0 + at * dim) }, dxView.pointer + at * dim, row,
        row + parts * dim, part.count, dim)
    }
    accumulateColumnSums(partial.narrowed(axis: 0, to: 0..<parts), into: &gradients, at: gainAt)
    if let shiftAt {
      accumulateColumnSums(partial.narrowed(axis: 0, to: parts..<2 * parts), into: &gradients, at: shiftAt)
    }
    return dx
  }
}
