extension Tensor {
  /// The same elements with two axes exchanged; shares storage.
  /// - Complexity: O(1).
  public func transposed(_ first: Int, _ second: Int) -> Tensor {
    var shape = shape
    var strides = strides
    shape.swapAt(first, second)
    strides.swapAt(first, second)
    return Tensor(storage: storage, offset: offset, shape: shape, strides: strides)
  }

  /// The part `range` of one axis; shares storage.
  /// - Precondition: the range lies inside the axis.
  /// - Complexity: O(1).
  public func narrowed(axis: Int, to range: Range<Int>) -> Tensor {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= shape[axis], "range \(range) of axis \(axis) in \(shape)")
    var shape = shape
    shape[axis] = range.count
    return Tensor(
      storage: storage, offset: offset + range.lowerBound * strides[axis], shape: shape, strides: strides)
  }

  /// The same elements, row-major, under another shape; shares storage when the tensor is contiguous.
  /// - Precondition: the element counts agree.
  /// - Complexity: O(1) when contiguous, else O(element count).
  public func reshaped(_ shape: [Int]) -> Tensor {
    precondition(shape.reduce(1, *) == count, "\(self.shape) cannot become \(shape)")
    let source = contiguous()
    return Tensor(
      storage: source.storage, offset: source.offset, shape: shape, strides: Tensor.rowMajorStrides(shape))
  }

  /// The tensor itself when it is contiguous, else a row-major copy counted by the same ledger.
  /// - Complexity: O(element count) when a copy is needed.
  public func contiguous() -> Tensor {
    if isContiguous { return self }
    let ledger = storage.ledger
    if let copy = try? rowMajorCopy(as: precision, ledger: ledger) { return copy }
    // The ledger's limit is enforced where buffers are planned; a view's copy must not fail half-way.
    guard let copy = try? rowMajorCopy(as: precision, ledger: nil) else { return self }
    return copy
  }

  /// All elements in row-major order; those of a bfloat16 tensor exactly.
  /// - Complexity: O(element count).
  public func array() -> [Float] {
    let total = count
    guard total > 0 else { return [] }
    if precision == .float32 && isContiguous {
      return pinned().array(count: total)
    }
    return [Float](unsafeUninitializedCapacity: total) { target, initialized in
      if let base = target.baseAddress { write(to: base) }
      initialized = total
    }
  }
}
