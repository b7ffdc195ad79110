#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Buffers at least this large are aligned to, and asked of the system in, 2 MiB pages.
private let hugePageBytes = 1 << 21

/// 64 bytes (a cache line, an AVX-512 vector), or a huge page for large buffers.
func alignmentFor(bytes: Int) -> Int { bytes >= 4 * hugePageBytes ? hugePageBytes : 64 }

/// Asks for huge pages where the system has them; a refusal costs nothing and is not an error.
func adviseHugePages(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
  #if os(Linux)
    if bytes >= 4 * hugePageBytes { _ = madvise(pointer, bytes, 14 /* MADV_HUGEPAGE */) }
  #endif
}

/// A block from the system, contents unspecified, given back by `freeBlock`.
/// - Throws: `MemoryLimitExceeded` when the system refuses.
func allocateBlock(_ bytes: Int) throws(MemoryLimitExceeded) -> UnsafeMutableRawPointer {
  var block: UnsafeMutableRawPointer?
  guard posix_memalign(&block, alignmentFor(bytes: bytes), bytes) == 0, let block else {
    throw MemoryLimitExceeded(requestedBytes: bytes, currentBytes: 0, limitBytes: nil)
  }
  adviseHugePages(block, bytes)
  return block
}

/// Gives back a block of `allocateBlock`.
func freeBlock(_ block: UnsafeMutableRawPointer) { free(block) }
