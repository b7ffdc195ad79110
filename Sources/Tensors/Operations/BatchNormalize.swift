extension ExecutionContext {
  /// Mean and variance of every column of x `[rows, dim]`, in Double. A variance that single precision does not hold is
  /// NaN: an infinite one would make a constant of its column. - Complexity: O(rows·dim).
  /// - Parameters:
  ///   - x: `[rows, dim]`.
  ///   - counted: runs of rows that count; `nil`: all. Of no row both are 0.
  /// - Throws: `MemoryLimitExceeded`.
  public func columnMoments(
    _ x: Tensor, of counted: [Range<Int>]? = nil
  ) throws(MemoryLimitExceeded) -> (mean: [Float], variance: [Float]) {
    let dim = x.shape[1], runs = counted ?? [0..<x.shape[0]]
    let rows = max(1, runs.reduce(0) { $0 + $1.count })
    precondition(x.isContiguous && x.shape[0] > 0, "column moments of \(x.shape)")
    let mean = try PinnedView(repeating: 0.0, count: dim, in: ledger)
    let spread = try PinnedView(repeating: 0.0, count: dim, in: ledger)
    let x = x.pinned()
    slices(dim, grain: 16, cost: 2 * rows) { part in
      for run in runs {
        for row in run { for column in part { mean[column] += Double(x[row * dim + column]) } }
      }
      for column in part { mean[column] /= Double(rows) }
      for run in runs {
        for row in run {
          for column in part {
            let difference = Double(x[row * dim + column]) - mean[column]
            spread[column] += difference * difference
          }
        }
      }
    }
    return (
      mean.array(count: dim).map { Float($0) },
      spread.array(count: dim).map {
        let variance = Float($0 / Double(rows))
        return variance.isFinite ? variance : .nan
      }
    )
  }

  /// `y = (x − mean)/√(variance + ε)·gain + shift` by columns. - Complexity: O(rows·dim).
  /// - Throws: `MemoryLimitExceeded`.
  public func scaleColumns(
    _ x: Tensor, mean: [Float], variance: [Float], epsilon: Double, gain: Tensor, shift: Tensor
  ) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], dim = x.shape[1]
    let scales = zip(gain.array(), variance).map { $0 / ($1 + Float(epsilon)).squareRoot() }
    let (scale, mean) = (try PinnedView(scales, in: ledger), try PinnedView(mean, in: ledger))
    var y = try empty(x.shape)
    let (x, shift) = (x.pinned(), shift.pinned())
    let yView = y.pinnedForWriting()
    slices(rows, grain: 32, cost: dim) { part in
      for row in part {
        let (source, target) = (x + row * dim, yView + row * dim)
        for column in 0..<dim {
          target[column] = (source[column] - mean[column]) * scale[column] + shift[column]
        }
      }
    }
    return y
  }

  /// The gradient of x through the batch's own mean and variance; adds those of gain and shift. With
  /// `momentsAreFixed` (evaluation) mean and variance are constants: `dx = gain/σ·dy`.
  ///
  /// `dx = gain/σ·(dy − mean(dy) − x̂·mean(dy·x̂))` by columns. - Complexity: O(rows·dim).
  /// - Parameters:
  ///   - dy: the gradient of the output, `[rows, dim]`.
  ///   - x: what was normalised, `[rows, dim]`.
  ///   - mean: of every column.
  ///   - variance: of every column.
  ///   - epsilon: what was added to the variance.
  ///   - gain: the factor of every column, `[dim]`.
  ///   - momentsAreFixed: whether mean and variance are constants, as in evaluation.
  ///   - counted: the rows that mean and variance are of; `nil`: all. To the others both are constants.
  ///   - gradients: where the gradients of gain and shift are added.
  ///   - gainAt: the first element of gain's gradient.
  ///   - shiftAt: the first element of shift's gradient.
  /// - Throws: `MemoryLimitExceeded`.
  public func batchNormalizeBackward(
    _ dy: Tensor, x: Tensor, mean: [Float], variance: [Float], epsilon: Double, gain: Tensor,
    momentsAreFixed: Bool = false, momentsOf counted: [Range<Int>]? = nil, gradients: inout Tensor,
    gainAt: Int, shiftAt: Int
  ) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], dim = x.shape[1]
    // Rows that enter the moments, one flag each; empty: all do.
    var enters: [Bool] = []
    if let counted {
      enters = Array(repeating: false, count: rows)
      for row in counted.joined() { enters[row] = true }
    }
    let members = max(1, counted.map { $0.reduce(0) { $0 + $1.count } } ?? rows)
    let inverse = try PinnedView(variance.map { 1 / ($0 + Float(epsilon)).squareRoot() }, in: ledger)
    var dx = try empty(x.shape)
    let dgain = try PinnedView(repeating: 0.0, count: dim, in: ledger)
    let dshift = try PinnedView(repeating: 0.0, count: dim, in: ledger)
    let (x, dy, gain, mean) = (x.pinned(), dy.pinned(), gain.pinned(), try PinnedView(mean, in: ledger))
    slices(dim, grain: 16, cost: 2 * rows) { part in
      for row in 0..<rows {
        for column in part {
          let at = row * dim + column
          dshift[column] += Double(dy[at])
          dgain[column] += Double(dy[at] * (x[at] - mean[column]) * inverse[column])
        }
      }
    }
    // Constants have no gradient: nothing is taken off.
    let share = momentsAreFixed ? 0 : 1 / Double(members)
    let meanShift = try PinnedView(dshift.array(count: dim).map { Float($0 * share) }, in: ledger)
    let meanGain = try PinnedView(dgain.array(count: dim).map { Float($0 * share) }, in: ledger)
    let dxView = dx.pinnedForWriting()
    slices(rows, grain: 32, cost: dim) { [enters] part in
      for row in part {
        if !enters.isEmpty, !enters[row] {
          for at in row * dim..<(row + 1) * dim {
            dxView.pointer[at] = gain[at - row * dim] * inverse[at - row * dim] * dy.pointer[at]
          }
          continue
        }
        for column in 0..<dim {
          let at = row * dim + column
          let normal = (x.pointer[at] - mean[column]) * inverse[column]
          dxView.pointer[at] =
            gain[column] * inverse[column]
            * (dy.pointer[at] - meanShift[column] - normal * meanGain[column])
        }
      }
    }
    let gradients = gradients.pinnedForWriting()
    for column in 0..<dim {
      gradients[gainAt + column] += Float(dgain[column])
      gradients[shiftAt + column] += Float(dshift[column])
    }
    return dx
  }
}
