import CKernels

extension ExecutionContext {
  /// Rows `[rows, dim]` times a number each. - Complexity: O(rows·dim).
  /// - Throws: `MemoryLimitExceeded`.
  public func scaledRows(_ x: Tensor, by factors: [Float]) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], dim = x.shape[1]
    precondition(x.isContiguous && factors.count == rows, "\(factors.count) factors of \(x.shape)")
    var y = try empty(x.shape)
    let x = x.pinned()
    let target = y.pinnedForWriting()
    slices(rows, grain: 32, cost: dim) { part in
      for row in part {
        let own = x.pointer + row * dim
        attn_blend(isa, factors[row], own, 0, own, target.pointer + row * dim, dim)
      }
    }
    return y
  }

  /// `x_r·y_r` of every row. - Complexity: O(rows·dim).
  public func rowProducts(_ x: Tensor, _ y: Tensor) -> [Float] {
    let dim = x.shape[1]
    precondition(x.shape == y.shape && x.isContiguous && y.isContiguous, "\(x.shape) against \(y.shape)")
    let (first, second) = (x.pinned(), y.pinned())
    return (0..<x.shape[0]).map { row in
      var sum = 0.0
      for column in row * dim..<(row + 1) * dim { sum += Double(first[column]) * Double(second[column]) }
      return Float(sum)
    }
  }
}
