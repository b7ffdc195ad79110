import CKernels

extension Tensor {
  /// The same elements, row-major, in another precision; the tensor itself when it has it and is row-major.
  ///
  /// To bfloat16 every element is rounded once, to nearest, ties to even; NaN stays NaN, and what is too large becomes
  /// infinite. Back to float32 nothing changes.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(element count).
  public func converted(to precision: Precision, ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded)
    -> Tensor
  {
    if precision == self.precision && isContiguous { return self }
    return try rowMajorCopy(as: precision, ledger: ledger)
  }

  /// A row-major copy of its own storage.
  func rowMajorCopy(as precision: Precision, ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    let copy = try TensorStorage(count: count, zeroed: false, precision: precision, ledger: ledger)
    switch (self.precision, precision) {
    case (_, .float32): write(to: copy.base)
    case (.bfloat16, .bfloat16):
      let source = pinnedPatterns()
      forEachRun { copy.patterns.advanced(by: $0).update(from: source + $1, count: $2) }
    case (.float32, .bfloat16):
      let isa = InstructionSet.default.code
      let source = pinned()
      forEachRun { attn_downconvert16(isa, copy.patterns + $0, source + $1, Int64($2)) }
    }
    return Tensor(storage: copy, offset: 0, shape: shape, strides: Tensor.rowMajorStrides(shape))
  }

  /// Writes all elements in row-major order.
  func write(to target: UnsafeMutablePointer<Float>) {
    switch precision {
    case .float32:
      let source = pinned()
      forEachRun { (target + $0).initialize(from: source + $1, count: $2) }
    case .bfloat16:
      let isa = InstructionSet.default.code
      let source = pinnedPatterns()
      forEachRun { attn_upconvert16(isa, target + $0, source + $1, Int64($2)) }
    }
  }

  /// Calls `body(place, position, count)` for runs of elements that lie together: `place` counts elements in row-major
  /// order, `position` those in the storage.
  private func forEachRun(_ body: (Int, Int, Int) -> Void) {
    guard count > 0 else { return }
    if isContiguous { return body(0, 0, count) }
    guard let run = shape.last else { return body(0, 0, 1) }
    let isDense = strides[rank - 1] == 1
    var index = [Int](repeating: 0, count: rank - 1)
    var position = 0
    for row in 0..<count / run {
      if isDense {
        body(row * run, position, run)
      } else {
        for t in 0..<run { body(row * run + t, position + t * strides[rank - 1], 1) }
      }
      for axis in stride(from: rank - 2, through: 0, by: -1) {
        index[axis] += 1
        position += strides[axis]
        if index[axis] < shape[axis] { break }
        position -= index[axis] * strides[axis]
        index[axis] = 0
      }
    }
  }
}
