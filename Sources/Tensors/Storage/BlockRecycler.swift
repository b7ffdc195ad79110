import Synchronization

/// Released blocks, kept by size class for the next tensor: a loop of equal steps allocates nothing after its first.
///
/// Size classes are an eighth of a power of two apart, so at most 1/8 of a block is wasted. Taking and giving are O(1)
/// and safe from any thread. `@unchecked Sendable` as for `TensorStorage`: a block has one owner at a time.
final class BlockRecycler: @unchecked Sendable {
  private struct State {
    var free: [Int: [UInt]] = [:]
    var systemAllocations = 0
  }
  private let state = Mutex(State())

  var systemAllocations: Int { state.withLock { $0.systemAllocations } }

  /// A block of at least `bytes`, contents unspecified.
  /// - Throws: `MemoryLimitExceeded` when the system refuses.
  func take(bytes: Int) throws(MemoryLimitExceeded) -> UnsafeMutableRawPointer {
    let size = BlockRecycler.sizeClass(bytes)
    let address: UInt? = state.withLock { state in
      if let address = state.free[size]?.popLast() { return address }
      state.systemAllocations += 1
      return nil
    }
    if let address, let block = UnsafeMutableRawPointer(bitPattern: address) { return block }
    return try allocateBlock(size)
  }

  /// Takes a block back.
  func give(_ block: UnsafeMutableRawPointer, bytes: Int) {
    let size = BlockRecycler.sizeClass(bytes)
    state.withLock { $0.free[size, default: []].append(UInt(bitPattern: block)) }
  }

  deinit {
    let blocks = state.withLock { $0.free.values.flatMap { $0 } }
    for address in blocks { UnsafeMutableRawPointer(bitPattern: address).map(freeBlock) }
  }

  static func sizeClass(_ bytes: Int) -> Int {
    let least = max(bytes, 256)
    let step = 1 << max(5, Int.bitWidth - 1 - least.leadingZeroBitCount - 3)
    return (least + step - 1) / step * step
  }
}
