import Tensors

extension QKV {
  /// All tensors in a precision; those that have it already are shared.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(element count).
  public func converted(to precision: Precision, ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded)
    -> QKV
  {
    func convert(_ tensor: Tensor) throws(MemoryLimitExceeded) -> Tensor {
      // A view that has the precision is left as it lies.
      tensor.precision == precision ? tensor : try tensor.converted(to: precision, ledger: ledger)
    }
    var result = QKV(query: try convert(query), key: try convert(key), value: try convert(value))
    if let global {
      result.global = Projections(
        query: try convert(global.query), key: try convert(global.key), value: try convert(global.value))
    }
    return result
  }
}

extension AttentionShape {
  /// The same sizes with inputs in another precision.
  public func with(precision: Precision) -> AttentionShape {
    var shape = self
    shape.precision = precision
    return shape
  }

  /// Bytes of q, k and v.
  public var inputBytes: Double {
    [queryShape, keyShape, valueShape].reduce(0) {
      $0 + $1.reduce(Double(precision.byteCount)) { $0 * Double($1) }
    }
  }

  /// Bytes of the float32 copies that a pass makes of bfloat16 inputs when it computes from float32; 0 of float32 ones.
  public var widenedBytes: Double { precision == .float32 ? 0 : 2 * inputBytes }
}
