import AttentionCore
import Basics
import Tensors

/// The conflict-free phases of all heads in one order for a number of threads, a few heads at a time, so that a head's rows
/// stay in the cache from one phase to the next and no worker waits at the end of a phase.
///
/// As long as there is a head for everybody, a worker takes a whole one: lines of the output and the LSE that another has
/// written would have to come from its cache. The last heads are shared, so that nobody is left without work.
struct PhaseOrder: Schedule {
  /// A group of tiles of a phase.
  struct Step: Sendable {
    var head: Int, phase: Int, group: Int
  }

  /// How many heads workers take whole, before the steps of the others.
  let wholeHeads: Int
  /// The heads that are shared.
  let sharedHeads: Range<Int>
  let steps: [Step]

  init(_ works: [PhaseWork], heads: Int, threads: Int) {
    wholeHeads = threads == 1 ? heads : max(0, heads / threads - 1) * threads
    sharedHeads = wholeHeads..<heads
    steps = PhaseOrder.steps(works, sharedHeads, abreast: max(2, threads))
  }

  var byteCount: Int { steps.count * MemoryLayout<Step>.stride }

  /// The steps of heads, `abreast` of them at a time.
  static func steps(_ works: [PhaseWork], _ heads: Range<Int>, abreast: Int) -> [Step] {
    var steps: [Step] = []
    for first in stride(from: heads.lowerBound, to: heads.upperBound, by: abreast) {
      let some = first..<min(heads.upperBound, first + abreast)
      for phase in works.indices {
        for head in some {
          steps += works[phase].groups(ofHead: head).map { Step(head: head, phase: phase, group: $0) }
        }
      }
    }
    return steps
  }
}

/// A dependency-ordered work queue: the steps of an order, and how far every head is.
///
/// A step may begin when its head's previous phase is complete. Steps are handed out in order, and those that a step
/// waits for come before it, so somebody is always at work.
final class PhaseQueue: Sendable {
  private let order: PhaseOrder
  private let works: [PhaseWork]
  /// By phase and shared head: groups that are complete.
  private let done: ProgressCounters

  /// - Throws: `MemoryLimitExceeded`.
  init(_ order: PhaseOrder, _ works: [PhaseWork], in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    (self.order, self.works) = (order, works)
    done = try ProgressCounters(
      [Int](repeating: 0, count: PhaseQueue.counterCount(order, works)), in: ledger)
  }

  /// How many counters a queue has: none where every worker takes whole heads.
  static func counterCount(_ order: PhaseOrder, _ works: [PhaseWork]) -> Int {
    works.count * order.sharedHeads.count
  }

  private func counter(_ phase: Int, _ head: Int) -> ProgressCounter {
    done[phase * order.sharedHeads.count + head - order.wholeHeads]
  }

  /// Waits until the step may begin.
  /// - Throws: `CancellationRequested`.
  func wait(for step: PhaseOrder.Step, in context: ExecutionContext) throws {
    guard step.phase > 0 else { return }
    let count = works[step.phase - 1].groups(ofHead: step.head).count
    try counter(step.phase - 1, step.head).wait(for: count, in: context)
  }

  /// Notes that a step is complete.
  func finish(_ step: PhaseOrder.Step) { counter(step.phase, step.head).increment() }
}

extension ForwardPass {
  /// Runs the phases of every head from one queue.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  func run(_ order: PhaseOrder) throws {
    let queue = try PhaseQueue(order, works, in: context.ledger), whole = order.wholeHeads
    let scratch = scratchFloats
    let region = try Region([context.threads, plan.tilesAtOnce, scratch], in: context.ledger)
    try Parallel.forEach(count: whole + order.steps.count, threads: context.threads) { index, worker in
      func run(_ phase: Int, _ group: Int) throws {
        try context.checkCancellation()
        tiles(works[phase].group(group), merge: merge(in: phase)) {
          region.scratch((worker * plan.tilesAtOnce + $0) * scratch)
        }
      }
      if index < whole {
        for phase in works.indices {
          for group in works[phase].groups(ofHead: index) { try run(phase, group) }
        }
        return
      }
      let step = order.steps[index - whole]
      try queue.wait(for: step, in: context)
      try run(step.phase, step.group)
      queue.finish(step)
    }
  }
}
