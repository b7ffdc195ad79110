import AttentionCore
import Basics
import Tensors

/// The waves of all heads in one order of work, a few heads at a time, so that a head's rows stay in the cache from one
/// wave to the next and no worker waits at the end of a wave.
///
/// A step may begin when its head's previous wave is complete. Steps are handed out in order, and those that a step
/// waits for come before it, so somebody is always at work.
final class WaveChain: Sendable {
  /// A group of tiles of a wave.
  struct Step: Sendable {
    var head: Int, wave: Int, group: Int
  }

  let steps: [Step]
  let works: [WaveWork]
  private let heads: Range<Int>
  private let done: [[ProgressCounter]]

  /// The steps of the heads, `abreast` of them at a time.
  init(_ works: [WaveWork], heads: Range<Int>, abreast: Int) {
    self.works = works
    self.heads = heads
    var steps: [Step] = []
    for first in stride(from: heads.lowerBound, to: heads.upperBound, by: abreast) {
      for wave in works.indices {
        for head in first..<min(heads.upperBound, first + abreast) {
          for group in works[wave].groups(ofHead: head) {
            steps.append(Step(head: head, wave: wave, group: group))
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
    guard step.wave > 0 else { return }
    let count = works[step.wave - 1].groups(ofHead: step.head).count
    try done[step.wave - 1][step.head - heads.lowerBound].wait(for: count, in: context)
  }

  /// Notes that a step is complete.
  func finish(_ step: Step) {
    done[step.wave][step.head - heads.lowerBound].increment()
  }
}

extension ForwardPass {
  /// Runs the waves of every head as a chain; false when there is but one and its tiles are runs of rows, or when tiles are
  /// split along their keys.
  ///
  /// As long as there is a head for everybody, a worker takes a whole one: lines of the output and the LSE that another has
  /// written would have to come from its cache. The last heads are shared, so that nobody is left without work.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  func runChained() throws -> Bool {
    guard plan.waveCount > 1 || plan.scattersRows else { return false }
    guard works.allSatisfy(\.parts.isEmpty) else { return false }
    let heads = shape.batch * shape.queryHeads, threads = context.threads
    let whole = threads == 1 ? heads : max(0, heads / threads - 1) * threads
    let chain = WaveChain(works, heads: whole..<heads, abreast: max(2, threads))
    let scratch = scratchFloats
    var space = try Tensor(uninitialized: [threads, plan.tilesAtOnce, scratch], ledger: context.ledger)
    try space.withUnsafeMutablePointer { base throws in
      let region = Region(base: base)
      try Parallel.forEach(count: whole + chain.steps.count, threads: threads) { index, worker in
        func run(_ wave: Int, _ group: Int) throws {
          try context.checkCancellation()
          tiles(works[wave].group(group), merge: wave > 0) {
            region.scratch((worker * plan.tilesAtOnce + $0) * scratch)
          }
        }
        if index < whole {
          for wave in works.indices {
            for group in works[wave].groups(ofHead: index) { try run(wave, group) }
          }
          return
        }
        let step = chain.steps[index - whole]
        try chain.wait(for: step, in: context)
        try run(step.wave, step.group)
        chain.finish(step)
      }
    }
    return true
  }
}
