import Tensors

/// Zero on first touch: which blocks of the gradients of keys and values nobody has added to yet. A block's mark is touched by
/// one worker at a time.
struct FirstTouchFlags: Sendable {
  private let view: PinnedView<UInt8>

  /// Marks of `count` blocks, all the same.
  /// - Throws: `MemoryLimitExceeded`.
  init(count: Int, pending: Bool = false, in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    view = try PinnedView(repeating: pending ? 1 : 0, count: count, in: ledger)
  }

  func marks(from index: Int) -> UnsafeMutablePointer<UInt8> { view.pointer + index }
}
