import AttentionCore
import Basics
import CKernels
import Tensors

extension BackwardPass {
  /// Runs the units of a plan, phase by phase, and reduces their privatised accumulators and partial results.
  func runUnits() throws {
    let threads = min(context.threads, max(1, plan.units.count))
    let scratch = scratchFloats
    let blocks = plan.units.first?.accumulators.count ?? 0
    let pending = try FirstTouchFlags(count: plan.units.count * blocks, in: context.ledger)
    let tables = try PinnedView(
      repeating: keyGradient.base, count: threads * 2 * blocks, in: context.ledger)
    let region = try Region([threads, plan.group, scratch], in: context.ledger)
    @Sendable func run(_ index: Int, _ worker: Int, phase: Int) throws {
      let unit = plan.units[index], own = worker * plan.group * scratch
      let marks = pending.marks(from: index * blocks)
      if phase == 0 { mark(unit, in: marks) }
      let target = target(of: unit, table: tables.advanced(by: worker * 2 * blocks))
      try self.run(unit.phases[phase], adds: phase > 0, batch: unit.batch, target: { _, _ in target }, marks)
      {
        region.scratch(own + $0 * scratch)
      }
      guard phase == plan.phaseCount - 1 else { return }
      for number in 0..<blocks where marks[number] != 0 { clear(number, of: target, marks) }
    }
    // A head that is one unit goes through its phases while its rows are in the cache.
    let isAlone = plan.unitsPerHead == 1
    for phases in isAlone ? [0..<plan.phaseCount] : (0..<plan.phaseCount).map({ $0..<$0 + 1 }) {
      try Parallel.forEach(count: plan.units.count, threads: threads) { index, worker in
        for phase in phases { try run(index, worker, phase: phase) }
      }
    }
    reduceAccumulators()
    reducePartials()
  }

  /// Clears a block of the gradients of keys and values.
  private func clear(_ number: Int, of target: KeyGradients, _ pending: UnsafeMutablePointer<UInt8>) {
    pending[number] = 0
    let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
    target.key[number].update(repeating: 0, count: keys * shape.headDim)
    target.value[number].update(repeating: 0, count: keys * shape.valueDim)
  }

  /// Clears the blocks of keys that are added to for the first time: then, not before, they are in the cache anyway.
  private func prepare(
    _ keys: attn_list, in target: KeyGradients, _ pending: UnsafeMutablePointer<UInt8>
  ) {
    guard keys.count > 0 else { return }
    if let index = keys.index {
      for t in 0..<Int(keys.count) {
        let number = Int(index[t]) / BackwardPlan.blockKeys
        if pending[number] != 0 { clear(number, of: target, pending) }
      }
    } else {
      let last = min(shape.keyLength - 1, Int(keys.start) + (Int(keys.count) - 1) * Int(keys.stride))
      let first = Int(keys.start) / BackwardPlan.blockKeys
      for number in first..<max(first, last / BackwardPlan.blockKeys + 1) where pending[number] != 0 {
        clear(number, of: target, pending)
      }
    }
  }

  /// Computes elements in order, those of one query head in groups that share KV blocks.
  /// - Parameters:
  ///   - adds: whether query gradients are added to what is there.
  ///   - batch: that of all elements.
  ///   - target: where an element that has a place in the scratch adds the gradients of keys and values.
  /// - Throws: `CancellationRequested`.
  func run(
    _ elements: [BackwardPlan.Element], adds: Bool, batch: Int,
    target: (BackwardPlan.Element, Int) -> KeyGradients,
    _ pending: UnsafeMutablePointer<UInt8>, scratch: (Int) -> UnsafeMutableRawPointer
  ) throws {
    var first = 0
    while first < elements.count {
      try context.checkCancellation()
      var last = first + 1
      while last < elements.count, last - first < plan.group, elements[last].head == elements[first].head {
        last += 1
      }
      for following in elements[last..<min(elements.count, 2 * last - first)] {
        prefetch(following, batch: batch)
      }
      group(elements[first..<last], adds: adds, batch: batch, target: target, pending, scratch: scratch)
      first = last
    }
  }

  /// Prefetches the rows that a tile reads at its beginning, while others are computed.
  func prefetch(_ element: BackwardPlan.Element, batch: Int) {
    let head = Int(element.head), list = pattern.list(batch: batch, head: head)
    list.withTables { tables in
      let rows = tables.rows(list.tiles[Int(element.tile)])
      query.prefetch(batch, head, rows, dim: shape.headDim)
      output.prefetch(batch, head, rows, dim: shape.valueDim)
      outputGradient.prefetch(batch, head, rows, dim: shape.valueDim)
    }
  }

  /// Computes a few elements of one query head together, KV block by KV block.
  private func group(
    _ elements: ArraySlice<BackwardPlan.Element>, adds: Bool, batch: Int,
    target: (BackwardPlan.Element, Int) -> KeyGradients, _ pending: UnsafeMutablePointer<UInt8>,
    scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    guard let first = elements.first else { return }
    let headNumber = Int(first.head)
    let list = pattern.list(batch: batch, head: headNumber)
    let head = head(batch, headNumber)
    let targets = elements.enumerated().map { target($0.element, $0.offset) }
    var gradients = targets.map { gradient(headNumber, $0) }
    let size = BackwardPlan.keyBlockSize(shape, context.choices)
    list.withTables { tables in
      var feeds: [KeyBlockIterator] = []
      for (position, element) in elements.enumerated() {
        let tile = list.tiles[Int(element.tile)]
        feeds.append(feed(element, tile, in: list))
        begin(scratch(position), head, &gradients[position], tables.rows(tile))
      }
      var open = elements.count
      while open > 0 {
        open = 0
        let first = feeds.firstIndex { !$0.isDone }
        for position in feeds.indices where !feeds[position].isDone {
          feeds[position].next(
            size, in: list, tables, ahead: { prefetch(head, &gradients[position], $0) }
          ) { run in
            prepare(run.pointee.keys, in: targets[position], pending)
            if run.pointee.keys.index != nil || (plan.sharesKeyBlocks && position == first) {
              warm(head, &gradients[position], run.pointee.keys)
            }
            add(run, to: scratch(position))
          }
          open += feeds[position].isDone ? 0 : 1
        }
      }
      for (position, element) in elements.enumerated() {
        let gradient = gradients[position]
        if element.partial < 0 {
          end(
            scratch(position), gradient.query_gradient, stride: queryGradient.rowStride, inPlace: true,
            adds: adds)
          continue
        }
        end(
          scratch(position), partials.at(Int(element.partial) * partialFloats), stride: queryWidth,
          inPlace: false,
          adds: false)
        // Partial results are added at the end; until then the tile's rows are zeros for later phases to add to.
        if element.split == 0, !adds { clearRows(of: list, list.tiles[Int(element.tile)], gradient) }
      }
    }
  }

  private func feed(_ element: BackwardPlan.Element, _ tile: TileList.QueryTile, in list: TileList)
    -> KeyBlockIterator
  {
    if element.partial < 0 { return KeyBlockIterator(tile) }
    return KeyBlockIterator(
      tile, in: list, split: Int(element.split), of: Int(element.splits), keys: list.keyCount(of: tile))
  }

  private func clearRows(of list: TileList, _ tile: TileList.QueryTile, _ gradient: attn_gradient) {
    for t in 0..<Int(tile.count) {
      (gradient.query_gradient + list.row(tile, t) * Int(gradient.query_gradient_stride))
        .update(repeating: 0, count: queryWidth)
    }
  }

  /// Marks the blocks that a unit clears.
  private func mark(_ unit: BackwardPlan.Unit, in marks: UnsafeMutablePointer<UInt8>) {
    for number in unit.owned { marks[Int(number)] = 1 }
    for (number, own) in unit.accumulators.enumerated() where own >= 0 { marks[number] = 1 }
  }

  /// Where a unit adds the gradients of keys and values, by a table of the worker's own.
  private func target(
    of unit: BackwardPlan.Unit, table: PinnedView<UnsafeMutablePointer<Float>>
  ) -> KeyGradients {
    let (key, value) = (table.pointer, table.pointer + unit.accumulators.count)
    for (number, own) in unit.accumulators.enumerated() {
      if own >= 0 {
        key[number] = accumulators.at(Int(own) * accumulatorFloats)
        value[number] = key[number] + BackwardPlan.blockKeys * shape.headDim
      } else {
        key[number] = block(
          keyGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.headDim)
        value[number] = block(
          valueGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.valueDim)
      }
    }
    return KeyGradients(batch: unit.batch, key: UnsafePointer(key), value: UnsafePointer(value))
  }

  /// Adds the privatised accumulators of key blocks to the results, in the order of units.
  private func reduceAccumulators() {
    guard plan.accumulatorCount > 0 else { return }
    let heads = plan.units.count / plan.unitsPerHead
    let blocks = BackwardPlan.blockCount(keyLength: shape.keyLength)
    Parallel.forEach(count: heads * blocks, threads: context.threads) { index, _ in
      let (headIndex, number) = (index / blocks, index % blocks)
      let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
      for unitIndex in headIndex * plan.unitsPerHead..<(headIndex + 1) * plan.unitsPerHead {
        let unit = plan.units[unitIndex]
        guard unit.accumulators[number] >= 0 else { continue }
        let own = accumulators.at(Int(unit.accumulators[number]) * accumulatorFloats)
        attn_add(
          isa, block(keyGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.headDim), own,
          Int64(keys * shape.headDim))
        attn_add(
          isa, block(valueGradient, batch: unit.batch, keyHead: unit.keyHead, number, dim: shape.valueDim),
          own + BackwardPlan.blockKeys * shape.headDim, Int64(keys * shape.valueDim))
      }
    }
  }

  /// Adds the partial query gradients of split tiles, in order.
  func reducePartials() {
    for (batch, element) in plan.partials {
      let list = pattern.list(batch: batch, head: Int(element.head))
      let tile = list.tiles[Int(element.tile)]
      let rows = queryGradient.head(batch, Int(element.head))
      let partial = partials.at(Int(element.partial) * partialFloats)
      for t in 0..<Int(tile.count) {
        attn_add(
          isa, rows + list.row(tile, t) * queryGradient.rowStride, partial + t * queryWidth,
          Int64(queryWidth))
      }
    }
  }
}
