extension ExecutionContext {
  /// The mean of the first `lengths[b]` rows of every sequence: x `[batch·length, dim]` → `[batch, dim]`.
  /// A sequence without rows gives 0. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func meanRows(_ x: Tensor, batch: Int, lengths: [Int]) throws(MemoryLimitExceeded) -> Tensor {
    let length = x.shape[0] / batch, dim = x.shape[1]
    precondition(
      lengths.count == batch && lengths.allSatisfy { $0 <= length }, "lengths \(lengths) of \(x.shape)")
    var y = try zeros([batch, dim])
    let x = x.pinned()
    let yView = y.pinnedForWriting()
    slices(batch, grain: 1, cost: length * dim) { part in
      for sequence in part where lengths[sequence] > 0 {
        let share = 1 / Float(lengths[sequence])
        for row in 0..<lengths[sequence] {
          let source = x + (sequence * length + row) * dim, target = yView + sequence * dim
          for column in 0..<dim { target[column] += share * source[column] }
        }
      }
    }
    return y
  }

  /// The gradient of `meanRows`: every counted row gets its share. - Complexity: O(batch·length·dim).
  /// - Throws: `MemoryLimitExceeded`.
  public func meanRowsBackward(
    _ dy: Tensor, length: Int, lengths: [Int]
  ) throws(MemoryLimitExceeded) -> Tensor {
    let batch = dy.shape[0], dim = dy.shape[1]
    var dx = try zeros([batch * length, dim])
    let dy = dy.pinned()
    let dxView = dx.pinnedForWriting()
    slices(batch, grain: 1, cost: length * dim) { part in
      for sequence in part where lengths[sequence] > 0 {
        let share = 1 / Float(lengths[sequence])
        for row in 0..<lengths[sequence] {
          let target = dxView + (sequence * length + row) * dim, source = dy + sequence * dim
          for column in 0..<dim { target[column] = share * source[column] }
        }
      }
    }
    return dx
  }
}
