import CKernels
import Dispatch
import Synchronization

/// Loops over a given number of threads.
public enum Parallel {
  /// The processors that this process may use.
  public static var processorCount: Int { Int(attn_processor_count()) }

  /// Runs `body(index, worker)` once for every index in `0 ..< count`, on up to `threads` threads.
  ///
  /// Indices are handed out one at a time, in order, so put the longest work first. `worker` is below `threads` and
  /// `count`, and no two bodies of one call run with the same worker at once: it may name a scratch buffer. Which worker
  /// gets which index is not fixed, so a result must not depend on it. A body may call `forEach` itself; the inner call
  /// numbers its own workers.
  ///
  /// An error stops the hand-out; bodies that run are waited for. Of several errors that of the lowest index is thrown,
  /// which is the same on any number of threads: every lower index had been handed out before.
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

  /// As `forEach`, for loops over the same rows that follow one another: a worker begins with its own of equal shares of the
  /// indices, in order, and so finds in its cache what the loop before left there. Who is done with its share takes single
  /// indices from the ends of others'.
  ///
  /// Which index runs first is not fixed, so no body may wait for another.
  /// - Complexity: one atomic exchange an index.
  public static func forEachByShare(
    count: Int, threads: Int, _ body: @Sendable (_ index: Int, _ worker: Int) throws -> Void
  ) rethrows {
    precondition(threads >= 1, "threads: \(threads); at least 1")
    guard count > 0 else { return }
    let workers = min(threads, count)
    guard workers > 1, count <= Int(UInt32.max) else {
      return try forEach(count: count, threads: threads, body)
    }
    try withUnsafeTemporaryAllocation(of: Atomic<UInt64>.self, capacity: workers * Shares.apart) { room in
      let shares = Shares(of: count, between: workers, in: room)
      try run(shares, count: count, workers: workers, body) { throw $0 }
    }
  }

  /// The values of `body(index)` for every index in `0 ..< count`, in order, from up to `threads` threads.
  ///
  /// Errors as in `forEach`.
  public static func map<Value: Sendable>(
    count: Int, threads: Int, _ body: @Sendable (_ index: Int) throws -> Value
  ) rethrows -> [Value] {
    let values = Mutex([Value?](repeating: nil, count: max(0, count)))
    try forEach(count: count, threads: threads) { index, _ in
      let value = try body(index)
      values.withLock { $0[index] = value }
    }
    return values.withLock { $0.compactMap(\.self) }
  }

  private static func run(
    count: Int, workers: Int, _ body: @Sendable (Int, Int) throws -> Void,
    rethrow: (any Error) throws -> Void
  ) rethrows {
    let next = Atomic<Int>(0)
    let failure = Mutex<(index: Int, error: any Error)?>(nil)
    onWorkers(workers) { worker in
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if index >= count { return }
        do { try body(index, worker) } catch {
          failure.withLock { if $0.map({ index < $0.index }) ?? true { $0 = (index, error) } }
          next.store(count, ordering: .relaxed)
          return
        }
      }
    }
    if let error = failure.withLock({ $0?.error }) { try rethrow(error) }
  }

  private static func run(
    _ shares: Shares, count: Int, workers: Int, _ body: @Sendable (Int, Int) throws -> Void,
    rethrow: (any Error) throws -> Void
  ) rethrows {
    // Of errors that of the lowest index counts, so what lies below one still runs.
    let end = Atomic<Int>(count)
    let failure = Mutex<(index: Int, error: any Error)?>(nil)
    onWorkers(workers) { worker in
      for turn in 0..<workers {
        let share = (worker + turn) % workers
        while let index = turn == 0 ? shares.takeFirst(of: share) : shares.takeLast(of: share) {
          if index >= end.load(ordering: .relaxed) { continue }
          do { try body(index, worker) } catch {
            failure.withLock { if $0.map({ index < $0.index }) ?? true { $0 = (index, error) } }
            _ = end.min(index, ordering: .relaxed)
          }
        }
      }
    }
    if let error = failure.withLock({ $0?.error }) { try rethrow(error) }
  }

  /// Runs a body once for every worker that begins before the first is done: on the helpers that wait for work, or, where
  /// they have work or are too few, on those of the system.
  private static func onWorkers(_ workers: Int, _ body: @Sendable (Int) -> Void) {
    let ran = withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { body in
        attn_pool_run(
          Int32(workers),
          { context, worker in
            context?.assumingMemoryBound(to: (@Sendable (Int) -> Void).self).pointee(Int(worker))
          }, UnsafeMutableRawPointer(mutating: body))
      }
    }
    if ran == 0 { DispatchQueue.concurrentPerform(iterations: workers, execute: body) }
  }
}

/// What is left of every worker's share: a first index, and the one behind the last times 2³².
private struct Shares: @unchecked Sendable {
  private let left: UnsafeMutableBufferPointer<Atomic<UInt64>>

  /// Numbers from one share to the next: two cache lines.
  static let apart = 16

  init(of count: Int, between workers: Int, in room: UnsafeMutableBufferPointer<Atomic<UInt64>>) {
    left = room
    for place in room.indices {
      let worker = place / Shares.apart, first = count * worker / workers
      let end = count * (worker + 1) / workers
      room.initializeElement(at: place, to: Atomic(UInt64(first) | UInt64(end) << 32))
    }
  }

  func takeFirst(of share: Int) -> Int? { take(share) { ($0, $0 + 1, $1) } }
  func takeLast(of share: Int) -> Int? { take(share) { ($1 - 1, $0, $1 - 1) } }

  /// Takes an index: `choose` says which, and what is left, of a first index and an end.
  private func take(_ share: Int, _ choose: (UInt64, UInt64) -> (UInt64, UInt64, UInt64)) -> Int? {
    let place = share * Shares.apart
    var seen = left[place].load(ordering: .relaxed)
    while true {
      let first = seen & 0xFFFF_FFFF, end = seen >> 32
      guard first < end else { return nil }
      let (index, newFirst, newEnd) = choose(first, end)
      let exchange = left[place].weakCompareExchange(
        expected: seen, desired: newFirst | newEnd << 32, ordering: .relaxed)
      if exchange.exchanged { return Int(index) }
      seen = exchange.original
    }
  }
}
