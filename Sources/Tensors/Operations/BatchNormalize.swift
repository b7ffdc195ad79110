extension ExecutionContext {
  /// Mean and variance of every column of x `[rows, dim]`, in Double. A variance that single precision does not hold is
  /// NaN: an infinite one would make a constant of its column. - Complexity: O(rows·dim).
  /// - Parameters:
  ///   - x: `[rows, dim]`.
  ///   - counted: runs of rows that count; `nil`: all. Of no row both are 0.
  public func columnMoments(_ x: Tensor, of counted: [Range<Int>]? = nil) -> (
    mean: [Float], variance: [Float]
  ) {
    let dim = x.shape[1], runs = counted ?? [0..<x.shape[0]]
    let rows = max(1, runs.reduce(0) { $0 + $1.count })
    precondition(x.isContiguous && x.shape[0] > 0, "column moments of \(x.shape)")
    var mean = [Double](repeating: 0, count: dim), spread = mean
    let x = x.pinned()
    for row in runs.joined() { for column in 0..<dim { mean[column] += Double(x[row * dim + column]) } }
    for column in 0..<dim { mean[column] /= Double(rows) }
    for row in runs.joined() {
      for column in 0..<dim {
        let difference = Double(x[row * dim + column]) - mean[column]
        spread[column] += difference * difference
      }
    }
    return (
      mean.map { Float($0) },
      spread.map {
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
    let gain = gain.array(), shift = shift.array()
    var y = try empty(x.shape)
    let x = x.pinned()
    let yView = y.pinnedForWriting()
    slices(rows, grain: 32, cost: dim) { part in
      for row in part {
        for column in 0..<dim {
          let scale = gain[column] / (variance[column] + Float(epsilon)).squareRoot()
          yView.pointer[row * dim + column] =
            (x.pointer[row * dim + column] - mean[column]) * scale + shift[column]
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
    let gain = gain.array()
    let inverse = variance.map { 1 / ($0 + Float(epsilon)).squareRoot() }
    var dx = try empty(x.shape)
    var dgain = [Double](repeating: 0, count: dim), dshift = dgain
    let x = x.pinned()
    let dy = dy.pinned()
    for row in 0..<rows {
      for column in 0..<dim {
        let at = row * dim + column
        dshift[column] += Double(dy[at])
        dgain[column] += Double(dy[at] * (x[at] - mean[column]) * inverse[column])
      }
    }
    // Constants have no gradient: nothing is taken off.
    let share = momentsAreFixed ? 0 : 1 / Double(members)
    let meanShift = dshift.map { Float($0 * share) }, meanGain = dgain.map { Float($0 * share) }
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
