import AttentionCore
import Basics
import Tensors

/// A dependency-ordered work queue: the conflict-free phases of all heads in one order, a few heads at a time, so that a
/// head's rows stay in the cache from one phase to the next and no worker waits at the end of a phase.
///
/// A step may begin when its head's previous phase is complete. Steps are handed out in order, and those that a step
/// waits for come before it, so somebody is always at work.
final class PhaseQueue: Sendable {
  /// A group of tiles of a phase.
  struct Step: Sendable {
    var head: Int, phase: Int, group: Int
  }

  let steps: [Step]
  let works: [PhaseWork]
  private let heads: Range<Int>
  private let done: [[ProgressCounter]]

  /// The steps of the heads, `abreast` of them at a time.
  init(_ works: [PhaseWork], heads: Range<Int>, abreast: Int) {
    self.works = works
    self.heads = heads
    var steps: [Step] = []
    for first in stride(from: heads.lowerBound, to: heads.upperBound, by: abreast) {
      for phase in works.indices {
        for head in first..<min(heads.upperBound, first + abreast) {
          for group in works[phase].groups(ofHead: head) {
            steps.append(Step(head: head, phase: phase, group: group))
          }
        }
      }
    }
    self.steps = steps
    done = works.map { _ in heads.map { _ in ProgressCounter() } }
  }

  /// Waits until the step may begin.
  /// - Throws: `CancellationRequested`.
  func wait(for step: Step, in context: ExecutionContext) throws {
    guard step.phase > 0 else { return }
    let count = works[step.phase - 1].groups(ofHead: step.head).count
    try done[step.phase - 1][step.head - heads.lowerBound].wait(for: count, in: context)
  }

  /// Notes that a step is complete.
  func finish(_ step: Step) {
    done[step.phase][step.head - heads.lowerBound].increment()
  }
}

extension ForwardPass {
  /// Runs the phases of every head from one queue; false when there is but one and its tiles are runs of rows, or when tiles are
  /// split along their keys.
  ///
  /// As long as there is a head for everybody, a worker takes a whole one: lines of the output and the LSE that another has
  /// written would have to come from its cache. The last heads are shared, so that nobody is left without work.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  func runQueued() throws -> Bool {
    guard plan.phaseCount > 1 || plan.scattersRows else { return false }
    guard works.allSatisfy(\.kvSplits.isEmpty) else { return false }
    let heads = shape.batch * shape.queryHeads, threads = context.threads
    let whole = threads == 1 ? heads : max(0, heads / threads - 1) * threads
    let queue = PhaseQueue(works, heads: whole..<heads, abreast: max(2, threads))
    let scratch = scratchFloats
    var space = try Tensor(uninitialized: [threads, plan.tilesAtOnce, scratch], ledger: context.ledger)
    try space.withUnsafeMutablePointer { base throws in
      let region = Region(base: base)
      try Parallel.forEach(count: whole + queue.steps.count, threads: threads) { index, worker in
        func run(_ phase: Int, _ group: Int) throws {
          try context.checkCancellation()
          tiles(works[phase].group(group), merge: phase > 0) {
            region.scratch((worker * plan.tilesAtOnce + $0) * scratch)
          }
        }
        if index < whole {
          for phase in works.indices {
            for group in works[phase].groups(ofHead: index) { try run(phase, group) }
          }
          return
        }
        let step = queue.steps[index - whole]
        try queue.wait(for: step, in: context)
        try run(step.phase, step.group)
        queue.finish(step)
      }
    }
    return true
  }
}
