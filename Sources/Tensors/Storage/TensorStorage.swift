/// A 64-byte aligned block of float32 or bfloat16 that reports itself to a `MemoryLedger`.
///
/// This is the one place where memory is shared between values and threads without the compiler's help, hence
/// `@unchecked Sendable`: the block is only written through `Tensor.pinnedForWriting`, which first
/// makes sure that nobody else holds it, or by a parallel loop whose iterations write disjoint parts.
final class TensorStorage: @unchecked Sendable {
  let raw: UnsafeMutableRawPointer
  let count: Int
  let precision: Precision
  let ledger: MemoryLedger?

  /// Bytes asked of the system.
  var byteCount: Int { count * precision.byteCount }

  /// The elements of a float32 block.
  var base: UnsafeMutablePointer<Float> {
    precondition(precision == .float32, "a \(precision) tensor read as float32: convert it first")
    return raw.assumingMemoryBound(to: Float.self)
  }

  /// The bit patterns of a bfloat16 block.
  var patterns: UnsafeMutablePointer<UInt16> {
    precondition(precision == .bfloat16, "a \(precision) tensor read as bfloat16: convert it first")
    return raw.assumingMemoryBound(to: UInt16.self)
  }

  /// - Throws: `MemoryLimitExceeded` when the ledger or the system refuses.
  init(
    count: Int, zeroed: Bool, precision: Precision = .float32, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) {
    let bytes = max(1, count) * precision.byteCount
    try ledger?.add(bytes: count * precision.byteCount)
    let raw: UnsafeMutableRawPointer
    do throws(MemoryLimitExceeded) {
      raw =
        if let recycler = ledger?.recycler { try recycler.take(bytes: bytes) } else {
          try allocateBlock(bytes)
        }
    } catch {
      ledger?.remove(bytes: count * precision.byteCount)
      throw error
    }
    if zeroed { raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes) }
    switch precision {
    case .float32: _ = raw.bindMemory(to: Float.self, capacity: max(1, count))
    case .bfloat16: _ = raw.bindMemory(to: UInt16.self, capacity: max(1, count))
    }
    self.raw = raw
    self.precision = precision
    self.count = count
    self.ledger = ledger
  }

  deinit {
    if let recycler = ledger?.recycler {
      recycler.give(raw, bytes: max(1, count) * precision.byteCount)
    } else {
      freeBlock(raw)
    }
    ledger?.remove(bytes: byteCount)
  }
}
