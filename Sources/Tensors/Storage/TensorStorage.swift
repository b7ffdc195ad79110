/// A 64-byte aligned, zero-initialised block of float32 that reports itself to a `MemoryLedger`.
///
/// This is the one place where memory is shared between values and threads without the compiler's help, hence
/// `@unchecked Sendable`: the block is only written through `Tensor.withUnsafeMutablePointer`, which first
/// makes sure that nobody else holds it, or by a parallel loop whose iterations write disjoint parts.
final class TensorStorage: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>
  let count: Int
  let ledger: MemoryLedger?

  /// Bytes asked of the system.
  var byteCount: Int { count * MemoryLayout<Float>.stride }

  /// - Throws: `MemoryLimitExceeded` when the ledger or the system refuses.
  init(count: Int, zeroed: Bool, ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    let bytes = max(1, count) * MemoryLayout<Float>.stride
    try ledger?.add(bytes: count * MemoryLayout<Float>.stride)
    let raw: UnsafeMutableRawPointer
    do throws(MemoryLimitExceeded) {
      raw =
        if let recycler = ledger?.recycler { try recycler.take(bytes: bytes) } else {
          try allocateBlock(bytes)
        }
    } catch {
      ledger?.remove(bytes: count * MemoryLayout<Float>.stride)
      throw error
    }
    if zeroed { raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes) }
    self.base = raw.bindMemory(to: Float.self, capacity: max(1, count))
    self.count = count
    self.ledger = ledger
  }

  deinit {
    if let recycler = ledger?.recycler {
      recycler.give(UnsafeMutableRawPointer(base), bytes: max(1, count) * MemoryLayout<Float>.stride)
    } else {
      freeBlock(base)
    }
    ledger?.remove(bytes: byteCount)
  }
}
