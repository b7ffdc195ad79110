extension Compute {
  /// Rows of several `[batch, heads, length, dim]` tensors under each other: how a key–value cache grows and is cut.
  /// - Parameter parts: tensors of equal batch, heads and dim, each with the rows to take.
  /// - Complexity: O(elements taken).
  /// - Throws: `MemoryLimitExceeded`.
  public func stackRows(_ parts: [(tensor: Tensor, rows: Range<Int>)]) throws(MemoryLimitExceeded) -> Tensor {
    guard let shape = parts.first?.tensor.shape, shape.count == 4 else {
      preconditionFailure("heads [batch, heads, length, dim] expected")
    }
    let length = parts.reduce(0) { $0 + $1.rows.count }, dim = shape[3]
    var result = try empty([shape[0], shape[1], length, dim])
    var first = 0
    for (tensor, rows) in parts where !rows.isEmpty {
      precondition(
        tensor.shape[0] == shape[0] && tensor.shape[1] == shape[1] && tensor.shape[3] == dim
          && tensor.isContiguous
          && rows.upperBound <= tensor.shape[2], "rows \(rows) of \(tensor.shape) beside \(shape)")
      tensor.withUnsafePointer { source in
        result.withUnsafeMutablePointer { target in
          for head in 0..<shape[0] * shape[1] {
            (target + (head * length + first) * dim)
              .update(
                from: source + (head * tensor.shape[2] + rows.lowerBound) * dim, count: rows.count * dim)
          }
        }
      }
      first += rows.count
    }
    return result
  }
}
