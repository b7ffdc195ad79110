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
