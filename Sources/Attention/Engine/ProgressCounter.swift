import AttentionCore
import Synchronization
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A number that some workers raise and others wait for.
final class ProgressCounter: Sendable {
  private let value: Atomic<Int>

  init(_ value: Int = 0) { self.value = Atomic(value) }

  /// The number; what was written before it was raised so far can be read.
  var current: Int { value.load(ordering: .acquiring) }

  func raise(to number: Int) { value.store(number, ordering: .releasing) }
  func increment() { value.add(1, ordering: .releasing) }

  /// Waits until it is at least so high.
  /// - Throws: `CancellationRequested`.
  func wait(for number: Int, in context: ExecutionContext) throws {
    while current < number {
      try context.checkCancellation()
      sched_yield()
    }
  }
}

/// The counters of one pass, counted in its ledger.
struct ProgressCounters: Sendable {
  private let counters: [ProgressCounter]
  private let bytes: CountedBytes

  /// A counter is an object of 16 bytes and a number, for which the system gives 32, and a reference to it.
  static let bytesEach = 32 + MemoryLayout<ProgressCounter>.stride

  /// One counter for each number that it begins with.
  /// - Throws: `MemoryLimitExceeded`.
  init(_ starts: [Int], in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    bytes = try CountedBytes(starts.count * Self.bytesEach, in: ledger)
    counters = starts.map { ProgressCounter($0) }
  }

  subscript(index: Int) -> ProgressCounter { counters[index] }
}
