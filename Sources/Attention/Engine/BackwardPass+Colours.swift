import AttentionCore
import Basics
import CKernels
import Tensors

extension BackwardPass {
  /// Runs the colours of a plan: whole groups first, a worker each, then the steps of the others, and adds copies and partial results.
  ///
  /// A step waits until the colour before its own is complete, or until those before it are done with its blocks. Steps are handed out in
  /// order, and those that a step waits for come before it, so somebody is always at work.
  func run(_ work: BackwardColours) throws {
    let blocks = BackwardPlan.blockCount(keyLength: shape.keyLength), scratch = scratchFloats
    let whole = work.wholeGroups(threads: context.threads), shared = whole..<work.groups.count
    let steps = work.steps(shared, abreast: max(2, context.threads), size: plan.group)
    let threads = BackwardPass.workers(work, steps: steps.count, threads: context.threads)
    let pending = try FirstTouchFlags(count: work.groups.count * blocks, pending: true, in: context.ledger)
    let tables = try ColourTables(self, workers: threads, tiles: plan.group, blocks: blocks)
    let counters = try ProgressCounters(
      [Int](repeating: 0, count: work.counterCount(shared)), in: context.ledger)
    let region = try Region([threads, plan.group, scratch], in: context.ledger)
    let perGroup = work.countersPerGroup
    let counts =
      work.isGathered
      ? BackwardColours.stepCounts(steps, whole: whole, colours: perGroup, groups: shared.count) : []
    clearBefore(work, shared: shared, pending, blocks: blocks)
    @Sendable func run(_ step: BackwardColours.Step, _ worker: Int) throws {
      let group = work.groups[step.group], colour = group.colours[step.colour]
      try self.run(
        Array(colour.elements[step.elements]), adds: colour.phase > 0, batch: group.batch,
        target: { tables.target(group, $0, worker: worker, position: $1) },
        pending.marks(from: step.group * blocks)
      ) { region.scratch((worker * plan.group + $0) * scratch) }
    }
    try Parallel.forEach(count: whole + steps.count, threads: threads) { index, worker in
      if index < whole {
        let group = work.groups[index], colours = group.colours
        let own = colours.indices.flatMap { work.steps(index, $0, size: colours[$0].elements.count) }
        for (place, step) in own.enumerated() {
          if place + 1 < own.count {
            let next = own[place + 1]
            for element in colours[next.colour].elements[next.elements].prefix(plan.group) {
              prefetch(element, batch: group.batch)
            }
          }
          try run(step, worker)
        }
        return
      }
      let step = steps[index - whole], first = (step.group - whole) * perGroup
      guard work.isGathered else {
        return try follow(step, work, counters, first: first) { try run(step, worker) }
      }
      let own = first + step.colour
      if step.colour > 0 { try counters[own - 1].wait(for: counts[own - 1], in: context) }
      try run(step, worker)
      counters[own].increment()
    }
    finish(work, pending, blocks: blocks)
    reducePartials()
  }

  /// Runs a run when those before it are done with every place that it adds to.
  private func follow(
    _ step: BackwardColours.Step, _ work: BackwardColours, _ counters: ProgressCounters, first: Int,
    _ body: () throws -> Void
  ) throws {
    let group = work.groups[step.group], colour = group.colours[step.colour]
    let waits = group.waits(step.colour, run: step.run)
    for element in colour.elements[step.elements] { prefetch(element, batch: group.batch) }
    for wait in waits { try counters[first + Int(wait.place)].wait(for: Int(wait.count), in: context) }
    try body()
    for wait in waits { counters[first + Int(wait.place)].increment() }
  }

  /// Workers that have something to do.
  static func workers(_ work: BackwardColours, steps: Int, threads: Int) -> Int {
    min(threads, max(1, work.wholeGroups(threads: threads) + steps))
  }

  /// Clears copies, and what several workers may be the first to add to: hot blocks, and blocks of gathered keys.
  private func clearBefore(
    _ work: BackwardColours, shared: Range<Int>, _ pending: FirstTouchFlags, blocks: Int
  ) {
    var first: [(group: Int, block: Int)] = []
    for (index, group) in work.groups.enumerated() {
      first += group.hot.map { (index, $0.block) }
      if work.isGathered, shared.contains(index) { first += (0..<blocks).map { (index, $0) } }
    }
    let all = first
    Parallel.forEach(count: all.count, threads: min(context.threads, max(1, all.count / 4))) { index, _ in
      let (group, block) = all[index]
      clear(block, of: work.groups[group])
      pending.marks(from: group * blocks)[block] = 0
    }
    Parallel.forEach(count: work.accumulatorCount, threads: context.threads) { index, _ in
      accumulators.at(index * accumulatorFloats).update(repeating: 0, count: accumulatorFloats)
    }
  }

  private func clear(_ number: Int, of group: BackwardColours.Group) {
    let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
    block(keyGradient, batch: group.batch, keyHead: group.keyHead, number, dim: shape.headDim)
      .update(repeating: 0, count: keys * shape.headDim)
    block(valueGradient, batch: group.batch, keyHead: group.keyHead, number, dim: shape.valueDim)
      .update(repeating: 0, count: keys * shape.valueDim)
  }

  /// Clears what nobody has added to, and adds the copies of hot blocks in their order.
  private func finish(_ work: BackwardColours, _ pending: FirstTouchFlags, blocks: Int) {
    Parallel.forEach(count: work.groups.count, threads: context.threads) { index, _ in
      let marks = pending.marks(from: index * blocks)
      for number in 0..<blocks where marks[number] != 0 { clear(number, of: work.groups[index]) }
    }
    let hot = work.groups.flatMap { group in group.hot.map { (group, $0) } }
    Parallel.forEach(count: hot.count, threads: context.threads) { index, _ in
      let (group, own) = hot[index]
      let keys = min(BackwardPlan.blockKeys, shape.keyLength - own.block * BackwardPlan.blockKeys)
      let dK = block(keyGradient, batch: group.batch, keyHead: group.keyHead, own.block, dim: shape.headDim)
      let dV = block(
        valueGradient, batch: group.batch, keyHead: group.keyHead, own.block, dim: shape.valueDim)
      for copy in 0..<own.copies - 1 {
        let from = accumulators.at((own.firstAccumulator + copy) * accumulatorFloats)
        attn_add(context.isa, dK, from, Int64(keys * shape.headDim))
        attn_add(
          context.isa, dV, from + BackwardPlan.blockKeys * shape.headDim, Int64(keys * shape.valueDim))
      }
    }
  }
}

extension BackwardColours {
  /// How many steps every colour of every shared group has.
  static func stepCounts(_ steps: [Step], whole: Int, colours: Int, groups: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: groups * colours)
    for step in steps { counts[(step.group - whole) * colours + step.colour] += 1 }
    return counts
  }
}

/// Pointers to the blocks of the gradients of keys and values, a table for every tile that a worker has at once: those of the results, and
/// of hot blocks the copy of the tile. `last` is the group that a table is of.
private struct ColourTables: Sendable {
  private let pass: BackwardPass
  private let table: PinnedView<UnsafeMutablePointer<Float>>
  private let last: PinnedView<Int>
  private let tiles: Int, blocks: Int

  /// - Throws: `MemoryLimitExceeded`.
  init(_ pass: BackwardPass, workers: Int, tiles: Int, blocks: Int) throws(MemoryLimitExceeded) {
    (self.pass, self.tiles, self.blocks) = (pass, tiles, blocks)
    table = try PinnedView(
      repeating: pass.keyGradient.base, count: workers * tiles * 2 * blocks, in: pass.context.ledger)
    last = try PinnedView(repeating: -1, count: workers * tiles, in: pass.context.ledger)
  }

  /// Where a tile adds the gradients of keys and values.
  func target(
    _ group: BackwardColours.Group, _ element: BackwardPlan.Element, worker: Int, position: Int
  ) -> BackwardPass.KeyGradients {
    let own = worker * tiles + position, shape = pass.shape
    let key = table.pointer + own * 2 * blocks, value = key + blocks
    let number = group.batch * shape.keyHeads + group.keyHead
    if last.pointer[own] != number {
      last.pointer[own] = number
      for block in 0..<blocks {
        key[block] = pass.block(
          pass.keyGradient, batch: group.batch, keyHead: group.keyHead, block, dim: shape.headDim)
        value[block] = pass.block(
          pass.valueGradient, batch: group.batch, keyHead: group.keyHead, block, dim: shape.valueDim)
      }
    }
    for hot in group.hot {
      let copy = Int(element.slot) % hot.copies
      if copy == 0 {
        key[hot.block] = pass.block(
          pass.keyGradient, batch: group.batch, keyHead: group.keyHead, hot.block, dim: shape.headDim)
        value[hot.block] = pass.block(
          pass.valueGradient, batch: group.batch, keyHead: group.keyHead, hot.block, dim: shape.valueDim)
      } else {
        key[hot.block] = pass.accumulators.at((hot.firstAccumulator + copy - 1) * pass.accumulatorFloats)
        value[hot.block] = key[hot.block] + BackwardPlan.blockKeys * shape.headDim
      }
    }
    return .init(batch: group.batch, key: UnsafePointer(key), value: UnsafePointer(value))
  }
}
