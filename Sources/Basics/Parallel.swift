import CKernels
import Dispatch
import Synchronization

/// Loops over a given number of threads.
public enum Parallel {
  /// The processors that this process may use: those of its affinity mask where the system has one, else those online.
  public static var processorCount: Int { Int(attn_processor_count()) }

  /// Runs `body(index, worker)` once for every index in `0 ..< count`, on up to `threads` threads.
  ///
  /// Indices are handed out one at a time, in order, so put the longest work first. `worker` is below `threads` and
  /// no two bodies run with the same worker at once: it may name a scratch buffer. Which worker gets which index is
  /// not fixed, so a result must not depend on it. The first error thrown stops the hand-out and is rethrown.
  /// - Complexity: one atomic increment an index.
  public static func forEach(
    count: Int, threads: Int, _ body: @Sendable (_ index: Int, _ worker: Int) throws -> Void
  ) rethrows {
    precondition(threads >= 1, "threads: \(threads); at least 1")
    guard count > 0 else { return }
    let workers = min(threads, count)
    if workers == 1 {
      for index in 0..<count { try body(index, 0) }
      return
    }
    try run(count: count, workers: workers, body) { throw $0 }
  }

  private static func run(
    count: Int, workers: Int, _ body: @Sendable (Int, Int) throws -> Void,
    rethrow: (any Error) throws -> Void
  ) rethrows {
    let next = Atomic<Int>(0)
    let hasFailed = Atomic<Bool>(false)
    let failure = Failure()
    DispatchQueue.concurrentPerform(iterations: workers) { worker in
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if index >= count { return }
        do { try body(index, worker) } catch {
          if !hasFailed.exchange(true, ordering: .relaxed) { failure.error = error }
          next.store(count, ordering: .relaxed)
          return
        }
      }
    }
    if let error = failure.error { try rethrow(error) }
  }

  /// The first error: written by one worker, read when all have ended.
  private final class Failure: @unchecked Sendable {
    var error: (any Error)?
  }
}
