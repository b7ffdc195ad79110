import AttentionCore
import CKernels
import Tensors

extension BackwardPass {
  /// Runs the units of a plan, wave by wave, and adds up what they have in copies.
  func runUnits() throws {
    if !plan.firstCoversAllRows { clearQueryGradient() }
    let threads = min(context.threads, max(1, plan.units.count))
    let scratch = scratchFloats
    let blocks = plan.units.first?.copies.count ?? 0
    let pending = PendingBlocks(count: plan.units.count * blocks)
    defer { pending.release() }
    var space = try Tensor(uninitialized: [threads, plan.group, scratch], ledger: context.ledger)
    try space.withUnsafeMutablePointer { base throws in
      let region = Region(base: base)
      @Sendable func run(_ index: Int, _ worker: Int, wave: Int) throws {
        let unit = plan.units[index], own = worker * plan.group * scratch
        let marks = pending.marks(from: index * blocks)
        if wave == 0 { mark(unit, in: marks) }
        try withTarget(of: unit, marks) { target throws in
          try self.run(unit.waves[wave], adds: wave > 0, to: target) { region.scratch(own + $0 * scratch) }
          if wave == plan.waveCount - 1 {
            for number in 0..<blocks where marks[number] != 0 { clear(number, of: target) }
          }
        }
      }
      // A head that is one unit goes through its waves while its rows are in the cache.
      let isAlone = plan.unitsPerHead == 1
      for waves in isAlone ? [0..<plan.waveCount] : (0..<plan.waveCount).map({ $0..<$0 + 1 }) {
        try Parallel.forEach(count: plan.units.count, threads: threads) { index, worker in
          for wave in waves { try run(index, worker, wave: wave) }
        }
      }
    }
    addCopies()
    addParts()
  }

  func clearQueryGradient() {
    let chunk = 1024
    let chunks = (shape.queryLength + chunk - 1) / chunk
    Parallel.forEach(count: shape.batch * shape.queryHeads * chunks, threads: context.threads) { index, _ in
      let (rest, part) = (index / chunks, index % chunks)
      let rows = queryGradient.head(rest / shape.queryHeads, rest % shape.queryHeads)
      let count = min(chunk, shape.queryLength - part * chunk)
      (rows + part * chunk * shape.headDim).update(repeating: 0, count: count * shape.headDim)
    }
  }

  /// Marks the blocks that a unit clears.
  private func mark(_ unit: BackwardPlan.Unit, in marks: UnsafeMutablePointer<UInt8>) {
    for number in unit.owned { marks[Int(number)] = 1 }
    for (number, copy) in unit.copies.enumerated() where copy >= 0 { marks[number] = 1 }
  }

  /// Calls `body` with where a unit adds the gradients of keys and values.
  private func withTarget(
    of unit: BackwardPlan.Unit, _ marks: UnsafeMutablePointer<UInt8>, _ body: (KeyGradients) throws -> Void
  ) throws {
    var key: [UnsafeMutablePointer<Float>] = []
    var value: [UnsafeMutablePointer<Float>] = []
    key.reserveCapacity(unit.copies.count)
    value.reserveCapacity(unit.copies.count)
    for (number, copy) in unit.copies.enumerated() {
      if copy >= 0 {
        key.append(copies.at(Int(copy) * copyFloats))
        value.append(copies.at(Int(copy) * copyFloats + BackwardPlan.blockKeys * shape.headDim))
      } else {
        key.append(
          block(keyGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.headDim))
        value.append(
          block(valueGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.valueDim))
      }
    }
    try key.withUnsafeBufferPointer { keys throws in
      try value.withUnsafeBufferPointer { values throws in
        guard let keyBase = keys.baseAddress, let valueBase = values.baseAddress else { return }
        try body(
          KeyGradients(batch: unit.batch, key: keyBase, value: valueBase, pending: marks))
      }
    }
  }

  /// Adds the private copies of key blocks to the results, in the order of units.
  private func addCopies() {
    guard plan.copyCount > 0 else { return }
    let heads = plan.units.count / plan.unitsPerHead
    let blocks = (shape.keyLength + BackwardPlan.blockKeys - 1) / BackwardPlan.blockKeys
    Parallel.forEach(count: heads * blocks, threads: context.threads) { index, _ in
      let (headIndex, number) = (index / blocks, index % blocks)
      let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
      for unitIndex in headIndex * plan.unitsPerHead..<(headIndex + 1) * plan.unitsPerHead {
        let unit = plan.units[unitIndex]
        guard unit.copies[number] >= 0 else { continue }
        let copy = copies.at(Int(unit.copies[number]) * copyFloats)
        attn_add(
          isa, block(keyGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.headDim), copy,
          Int64(keys * shape.headDim))
        attn_add(
          isa, block(valueGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.valueDim),
          copy + BackwardPlan.blockKeys * shape.headDim, Int64(keys * shape.valueDim))
      }
    }
  }

  /// Adds the query gradients of the parts of split tiles, in order.
  private func addParts() {
    for (batch, element) in plan.parts {
      let list = pattern.list(batch: batch, head: Int(element.head))
      let tile = list.tiles[Int(element.tile)]
      let rows = queryGradient.head(batch, Int(element.head))
      let slot = slots.at(Int(element.slot) * slotFloats)
      for t in 0..<Int(tile.count) {
        attn_add(
          isa, rows + list.row(tile, t) * queryGradient.rowStride, slot + t * shape.headDim,
          Int64(shape.headDim))
      }
    }
  }
}
