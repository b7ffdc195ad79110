import Dispatch
import Foundation
import Synchronization

/// Results of independent pieces of work, in order, from all cores (or `threads` of them).
func parallelMap<Result: Sendable>(
  count: Int, threads: Int = 0, _ work: @Sendable (Int) -> Result?
) -> [Result?] {
  let workers = min(count, threads > 0 ? threads : ProcessInfo.processInfo.activeProcessorCount)
  guard workers > 1 else { return (0..<count).map(work) }
  let results = Mutex([Result?](repeating: nil, count: count))
  let next = Atomic(0)
  DispatchQueue.concurrentPerform(iterations: workers) { _ in
    var own: [(Int, Result?)] = []
    while true {
      let k = next.add(1, ordering: .relaxed).oldValue
      if k >= count { break }
      own.append((k, work(k)))
    }
    let finished = own
    results.withLock { for (k, result) in finished { $0[k] = result } }
  }
  return results.withLock { $0 }
}
