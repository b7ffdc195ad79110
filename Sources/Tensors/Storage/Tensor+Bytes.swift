extension Tensor {
  /// Creates a row-major tensor of a precision whose contents are unspecified: for what is about to be received or copied whole.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(1).
  public init(
    uninitialized shape: [Int], precision: Precision, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) {
    precondition(shape.allSatisfy { $0 >= 0 }, "a shape has no negative extent: \(shape)")
    self.init(
      storage: try TensorStorage(
        count: shape.reduce(1, *), zeroed: false, precision: precision, ledger: ledger),
      offset: 0, shape: shape, strides: Tensor.rowMajorStrides(shape))
  }

  /// Bytes of the elements.
  public var byteCount: Int { count * precision.byteCount }

  /// Reads the bytes of a contiguous tensor: what a message or a file holds.
  /// - Precondition: contiguous.
  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    precondition(isContiguous, "the bytes of \(shape) do not lie together")
    let view = pinnedBytes()
    return try body(UnsafeRawBufferPointer(start: view.pointer, count: byteCount))
  }

  /// A row-major copy that a ledger counts.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  /// - Complexity: O(element count).
  public func copied(ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    try rowMajorCopy(as: precision, ledger: ledger)
  }
}

/// A tensor that somebody outside Swift fills, such as a message on its way: it has one address for as long as this lives,
/// and becomes a value when it is complete.
///
/// `@unchecked Sendable` for the reason given at `TensorStorage`: nobody reads the block before `complete()`, and nobody
/// writes it after.
public final class IncomingTensor: @unchecked Sendable {
  private let tensor: Tensor

  /// Reserves the block.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public init(shape: [Int], precision: Precision, ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    tensor = try Tensor(uninitialized: shape, precision: precision, ledger: ledger)
  }

  /// Bytes to be filled.
  public var byteCount: Int { tensor.byteCount }

  /// Where they are to be written.
  public var address: UnsafeMutableRawPointer { tensor.storage.raw }

  /// The tensor, once all bytes are there.
  public func complete() -> Tensor { tensor }
}
