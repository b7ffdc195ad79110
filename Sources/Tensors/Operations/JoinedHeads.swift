extension ExecutionContext {
  /// Heads whose rows stand beside those of other heads: `[batch, heads, length, a]` and `[batch, heads, length, b]` →
  /// `[batch, heads, length, a + b]`.
  /// - Parameters:
  ///   - x: the first a elements of every row.
  ///   - y: the others; where it has one head, all heads of x get that one's.
  /// - Returns: a new tensor.
  /// - Complexity: O(elements of the result).
  /// - Throws: `MemoryLimitExceeded`.
  public func joinHeads(_ x: Tensor, _ y: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    precondition(
      x.rank == 4 && y.rank == 4 && x.shape[0] == y.shape[0] && x.shape[2] == y.shape[2]
        && (y.shape[1] == x.shape[1] || y.shape[1] == 1),
      "\(x.shape) beside \(y.shape)")
    let (x, y) = (x.contiguous(), y.contiguous())
    let (heads, length, a, b) = (x.shape[1], x.shape[2], x.shape[3], y.shape[3])
    let others = y.shape[1]
    var result = try empty([x.shape[0], heads, length, a + b])
    let (first, second) = (x.pinned(), y.pinned())
    let target = result.pinnedForWriting()
    slices(x.shape[0] * heads, grain: 1, cost: length * (a + b)) { part in
      for index in part {
        let other = index / heads * others + (others == 1 ? 0 : index % heads)
        for row in 0..<length {
          let place = target.pointer + (index * length + row) * (a + b)
          place.update(from: first.pointer + (index * length + row) * a, count: a)
          (place + a).update(from: second.pointer + (other * length + row) * b, count: b)
        }
      }
    }
    return result
  }

  /// Every head `times` times, the copies beside each other: `[batch, heads, length, dim]` → `[batch, heads·times, length, dim]`.
  /// - Parameters:
  ///   - x: the heads.
  ///   - times: how often; 1 gives x.
  /// - Returns: a new tensor, or x.
  /// - Complexity: O(elements of the result).
  /// - Throws: `MemoryLimitExceeded`.
  public func repeatedHeads(_ x: Tensor, times: Int) throws(MemoryLimitExceeded) -> Tensor {
    guard times > 1 else { return x }
    let (batch, heads, size) = (x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
    var result = try empty([batch, heads * times, x.shape[2], x.shape[3]])
    let source = x.contiguous().pinned(), target = result.pinnedForWriting()
    slices(batch * heads * times, grain: 1, cost: size) { part in
      for head in part {
        (target.pointer + head * size).update(from: source.pointer + head / times * size, count: size)
      }
    }
    return result
  }

  /// The sums of `each` neighbouring heads, the way back of `repeatedHeads`; 1 gives x.
  /// - Complexity: O(elements of x).
  /// - Throws: `MemoryLimitExceeded`.
  public func sumOfHeads(_ x: Tensor, each: Int) throws(MemoryLimitExceeded) -> Tensor {
    guard each > 1 else { return x }
    let grouped = x.contiguous().reshaped([x.shape[0] * x.shape[1] / each, each, x.shape[2], x.shape[3]])
    return try sumOfHeads(grouped).reshaped([x.shape[0], x.shape[1] / each, x.shape[2], x.shape[3]])
  }

  /// `Σ_h x_h`: `[batch, heads, length, dim]` → `[batch, 1, length, dim]`, the heads in order, so that the bits do not depend on
  /// the number of threads.
  /// - Parameter x: the heads.
  /// - Returns: a new tensor.
  /// - Complexity: O(elements of x).
  /// - Throws: `MemoryLimitExceeded`.
  public func sumOfHeads(_ x: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.rank == 4, "heads [batch, heads, length, dim] expected: \(x.shape)")
    let (batch, heads, size) = (x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
    var result = try zeros([batch, 1, x.shape[2], x.shape[3]])
    for sequence in 0..<batch {
      let own = x.narrowed(axis: 0, to: sequence..<sequence + 1)
      for head in 0..<heads {
        accumulate(
          own.narrowed(axis: 1, to: head..<head + 1).contiguous(), into: &result, at: sequence * size)
      }
    }
    return result
  }
}
