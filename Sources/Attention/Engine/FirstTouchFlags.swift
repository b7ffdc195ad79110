/// Zero on first touch: which blocks of the gradients of keys and values nobody has added to yet.
struct FirstTouchFlags: @unchecked Sendable {
  // Shared like a `Region`: a block's mark is touched by one worker at a time.
  private let base: UnsafeMutablePointer<UInt8>

  /// Marks of `count` blocks, all the same.
  init(count: Int, pending: Bool = false) {
    base = .allocate(capacity: max(1, count))
    base.initialize(repeating: pending ? 1 : 0, count: max(1, count))
  }

  func release() { base.deallocate() }

  func marks(from index: Int) -> UnsafeMutablePointer<UInt8> { base + index }
}
