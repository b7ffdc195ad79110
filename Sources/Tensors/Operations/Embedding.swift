extension ExecutionContext {
  /// Rows of a table by index: `y_i = scale·table[index_i]`, `[count, dim]`. - Complexity: O(count·dim).
  /// - Precondition: every index is inside the table.
  /// - Throws: `MemoryLimitExceeded`.
  public func lookUp(_ indices: [Int32], in table: Tensor, scale: Float = 1) throws(MemoryLimitExceeded)
    -> Tensor
  {
    let rows = table.shape[0], dim = table.shape[1]
    precondition(indices.allSatisfy { $0 >= 0 && $0 < rows }, "an index is outside the table of \(rows) rows")
    var y = try empty([indices.count, dim])
    let table = table.pinned()
    let yView = y.pinnedForWriting()
    slices(indices.count, grain: 64, cost: dim) { rows in
      for row in rows {
        let source = table + Int(indices[row]) * dim, target = yView + row * dim
        for column in 0..<dim { target[column] = scale * source[column] }
      }
    }
    return y
  }

  /// x with some of its rows replaced: row `index_i` is y_i. - Complexity: O(count·dim).
  /// - Precondition: every index is inside x, none comes twice.
  /// - Throws: `MemoryLimitExceeded`.
  public func replacingRows(
    of x: Tensor, at indices: [Int32], by y: Tensor
  ) throws(MemoryLimitExceeded) -> Tensor {
    let dim = x.shape[1]
    precondition(
      y.shape == [indices.count, dim] && indices.allSatisfy { $0 >= 0 && $0 < x.shape[0] } && x.isContiguous
        && y.isContiguous, "\(indices.count) rows \(y.shape) of \(x.shape)")
    var result = try empty(x.shape)
    let count = x.count
    let (source, new, target) = (x.pinned(), y.pinned(), result.pinnedForWriting())
    target.pointer.update(from: source.pointer, count: count)
    for (row, index) in indices.enumerated() {
      (target + Int(index) * dim).update(from: new + row * dim, count: dim)
    }
    return result
  }

  /// Adds `scale·dy_i` to row `index_i` of a table's gradient, in order. - Complexity: O(count·dim).
  public func accumulateRows(
    _ dy: Tensor, at indices: [Int32], scale: Float = 1, into gradients: inout Tensor, at offset: Int
  ) {
    let dim = dy.shape[1]
    precondition(indices.count == dy.shape[0] && dy.isContiguous, "\(indices.count) indices for \(dy.shape)")
    let dy = dy.pinned()
    let gradients = gradients.pinnedForWriting()
    for (row, index) in indices.enumerated() {
      let source = dy + row * dim, target = gradients + offset + Int(index) * dim
      for column in 0..<dim { target[column] += scale * source[column] }
    }
  }
}
