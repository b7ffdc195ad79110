import AttentionCore
import CKernels
import Tensors

/// One backward pass: the plan and where everything lies.
struct BackwardPass: Sendable {
  let plan: BackwardPlan
  let pattern: TilePattern
  let shape: AttentionShape
  let scale: Double
  let context: ExecutionContext
  let query: Rows, key: Rows, value: Rows, outputGradient: Rows, output: Rows, lse: Rows
  let queryGradient: Rows, keyGradient: Rows, valueGradient: Rows
  let copies: Region, slots: Region

  private var isa: Int32 { context.instructionSet.code }
  private var copyFloats: Int { BackwardPlan.blockKeys * (shape.headDim + shape.valueDim) }
  private var slotFloats: Int { Int(ATTN_LANES) * shape.headDim }

  private var scratchFloats: Int {
    let bytes = attn_scratch_bytes(isa, Int32(shape.headDim), Int32(shape.valueDim), 1)
    return (bytes + 63) / 64 * 16
  }

  /// Keys of a panel: K, V and their gradients take half of a second-level cache of 1 MiB, with the tiles.
  private var panelKeys: Int {
    let fitting = (256 << 10) / (2 * MemoryLayout<Float>.stride * (shape.headDim + shape.valueDim))
    return max(1, fitting / Int(ATTN_BLOCK)) * Int(ATTN_BLOCK)
  }

  func run() throws {
    if !plan.firstCoversAllRows { clearQueryGradient() }
    let threads = min(context.threads, max(1, plan.units.count))
    let scratch = scratchFloats
    let pending = PendingBlocks(plan)
    defer { pending.release() }
    var space = try Tensor(uninitialized: [threads, plan.group, scratch], ledger: context.ledger)
    try space.withUnsafeMutablePointer { base throws in
      let region = Region(base: base)
      @Sendable func run(_ index: Int, _ worker: Int, wave: Int) throws {
        let unit = plan.units[index], own = worker * plan.group * scratch
        let marks = pending.marks(ofUnit: index)
        if wave == 0 { PendingBlocks.mark(unit, in: marks) }
        try self.unit(unit, wave: wave, marks) { region.scratch(own + $0 * scratch) }
        if wave == plan.waveCount - 1 {
          for number in unit.copies.indices where marks[number] != 0 { clear(number, of: unit, marks) }
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

  private func clearQueryGradient() {
    let chunk = 1024
    let chunks = (shape.queryLength + chunk - 1) / chunk
    Parallel.forEach(count: shape.batch * shape.queryHeads * chunks, threads: context.threads) { index, _ in
      let (rest, part) = (index / chunks, index % chunks)
      let rows = queryGradient.head(rest / shape.queryHeads, rest % shape.queryHeads)
      let count = min(chunk, shape.queryLength - part * chunk)
      (rows + part * chunk * shape.headDim).update(repeating: 0, count: count * shape.headDim)
    }
  }

  /// The rows of a block of the result.
  private func block(_ gradient: Rows, _ unit: BackwardPlan.Unit, _ block: Int, dim: Int)
    -> UnsafeMutablePointer<Float>
  {
    gradient.head(unit.batch, unit.keyHead) + block * BackwardPlan.blockKeys * dim
  }

  /// Clears a block of a unit's gradients of keys and values.
  private func clear(_ number: Int, of unit: BackwardPlan.Unit, _ marks: UnsafeMutablePointer<UInt8>) {
    marks[number] = 0
    if unit.copies[number] >= 0 {
      copies.at(Int(unit.copies[number]) * copyFloats).update(repeating: 0, count: copyFloats)
      return
    }
    let keys = min(BackwardPlan.blockKeys, shape.keyLength - number * BackwardPlan.blockKeys)
    block(keyGradient, unit, number, dim: shape.headDim).update(repeating: 0, count: keys * shape.headDim)
    block(valueGradient, unit, number, dim: shape.valueDim).update(repeating: 0, count: keys * shape.valueDim)
  }

  /// Clears the blocks of keys that are added to for the first time: then, not before, they are in the cache anyway.
  private func prepare(
    _ keys: attn_list, _ unit: BackwardPlan.Unit, _ marks: UnsafeMutablePointer<UInt8>
  ) {
    guard keys.count > 0 else { return }
    if let index = keys.index {
      for t in 0..<Int(keys.count) {
        let number = Int(index[t]) / BackwardPlan.blockKeys
        if marks[number] != 0 { clear(number, of: unit, marks) }
      }
    } else {
      let last = min(shape.keyLength - 1, Int(keys.start) + (Int(keys.count) - 1) * Int(keys.stride))
      let first = Int(keys.start) / BackwardPlan.blockKeys
      for number in first..<max(first, last / BackwardPlan.blockKeys + 1) where marks[number] != 0 {
        clear(number, of: unit, marks)
      }
    }
  }

  /// Where a unit adds the gradients of the rows of every block.
  private func targets(_ unit: BackwardPlan.Unit)
    -> (key: [UnsafeMutablePointer<Float>], value: [UnsafeMutablePointer<Float>])
  {
    var key: [UnsafeMutablePointer<Float>] = []
    var value: [UnsafeMutablePointer<Float>] = []
    key.reserveCapacity(unit.copies.count)
    value.reserveCapacity(unit.copies.count)
    for (number, copy) in unit.copies.enumerated() {
      if copy >= 0 {
        key.append(copies.at(Int(copy) * copyFloats))
        value.append(copies.at(Int(copy) * copyFloats + BackwardPlan.blockKeys * shape.headDim))
      } else {
        key.append(block(keyGradient, unit, number, dim: shape.headDim))
        value.append(block(valueGradient, unit, number, dim: shape.valueDim))
      }
    }
    return (key, value)
  }

  private func unit(
    _ unit: BackwardPlan.Unit, wave: Int, _ marks: UnsafeMutablePointer<UInt8>,
    scratch: (Int) -> UnsafeMutableRawPointer
  ) throws {
    let (keyTargets, valueTargets) = targets(unit)
    try keyTargets.withUnsafeBufferPointer { keyTable throws in
      try valueTargets.withUnsafeBufferPointer { valueTable throws in
        guard let keyBlocks = keyTable.baseAddress, let valueBlocks = valueTable.baseAddress else { return }
        let elements = unit.waves[wave]
        var first = 0
        while first < elements.count {
          try context.checkCancellation()
          var last = first + 1
          while last < elements.count, last - first < plan.group, elements[last].head == elements[first].head
          {
            last += 1
          }
          for following in elements[last..<min(elements.count, 2 * last - first)] {
            prefetch(following, unit)
          }
          group(
            elements[first..<last], unit, adds: wave > 0, marks, keyBlocks, valueBlocks, scratch: scratch)
          first = last
        }
      }
    }
  }

  /// Asks for the rows that a tile reads at its beginning, while others are computed.
  private func prefetch(_ element: BackwardPlan.Element, _ unit: BackwardPlan.Unit) {
    let head = Int(element.head), list = pattern.list(batch: unit.batch, head: head)
    list.withTables { tables in
      let rows = tables.rows(list.tiles[Int(element.tile)])
      for (tensor, dim) in [
        (query, shape.headDim), (output, shape.valueDim), (outputGradient, shape.valueDim),
      ] {
        attn_prefetch_rows(
          tensor.head(unit.batch, head), Int64(tensor.rowStride * MemoryLayout<Float>.stride), rows,
          Int32(dim * MemoryLayout<Float>.stride), 0)
      }
    }
  }

  /// Computes a few elements of one query head together, panel by panel of keys.
  private func group(
    _ elements: ArraySlice<BackwardPlan.Element>, _ unit: BackwardPlan.Unit, adds: Bool,
    _ marks: UnsafeMutablePointer<UInt8>,
    _ keyBlocks: UnsafePointer<UnsafeMutablePointer<Float>>,
    _ valueBlocks: UnsafePointer<UnsafeMutablePointer<Float>>, scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    guard let first = elements.first else { return }
    let headNumber = Int(first.head)
    let list = pattern.list(batch: unit.batch, head: headNumber)
    var head = head(unit.batch, headNumber)
    var gradient = attn_gradient(
      output: output.head(unit.batch, headNumber),
      output_gradient: outputGradient.head(unit.batch, headNumber), lse: lse.head(unit.batch, headNumber),
      output_stride: Int64(output.rowStride), output_gradient_stride: Int64(outputGradient.rowStride),
      query_gradient: queryGradient.head(unit.batch, headNumber),
      query_gradient_stride: Int64(queryGradient.rowStride), key_gradient: keyBlocks,
      value_gradient: valueBlocks)
    let panel = panelKeys
    list.withTables { tables in
      var feeds: [TileFeed] = []
      for (position, element) in elements.enumerated() {
        let tile = list.tiles[Int(element.tile)]
        feeds.append(
          element.slot < 0
            ? TileFeed(tile)
            : TileFeed(
              tile, in: list, part: Int(element.part), of: Int(element.parts), keys: list.keyCount(of: tile)))
        attn_backward_begin(isa, scratch(position), &head, &gradient, tables.rows(tile))
      }
      var open = elements.count
      while open > 0 {
        open = 0
        let first = feeds.firstIndex { !$0.isDone }
        for position in feeds.indices where !feeds[position].isDone {
          feeds[position].next(
            panel, in: list, tables, ahead: { attn_backward_prefetch(&head, &gradient, $0) }
          ) { run in
            prepare(run.pointee.keys, unit, marks)
            if run.pointee.keys.index != nil || (plan.sharesPanels && position == first) {
              attn_backward_stream(&head, &gradient, run.pointee.keys)
            }
            attn_backward_run(isa, scratch(position), run)
          }
          open += feeds[position].isDone ? 0 : 1
        }
      }
      for (position, element) in elements.enumerated() {
        if element.slot < 0 {
          attn_backward_end(
            isa, scratch(position), gradient.query_gradient, gradient.query_gradient_stride, 1,
            adds ? 1 : 0)
          continue
        }
        attn_backward_end(
          isa, scratch(position), slots.at(Int(element.slot) * slotFloats), Int64(shape.headDim), 0, 0)
        // The parts of a tile are added at the end; until then its rows are zeros for later waves to add to.
        if element.part == 0, !adds { clearRows(of: list, list.tiles[Int(element.tile)], gradient) }
      }
    }
  }

  private func clearRows(of list: TileList, _ tile: TileList.QueryTile, _ gradient: attn_gradient) {
    for t in 0..<Int(tile.count) {
      (gradient.query_gradient + list.row(tile, t) * Int(gradient.query_gradient_stride))
        .update(repeating: 0, count: shape.headDim)
    }
  }

  private func head(_ batch: Int, _ head: Int) -> attn_head {
    let keyHead = shape.keyHead(of: head)
    return attn_head(
      query: query.head(batch, head), key: key.head(batch, keyHead), value: value.head(batch, keyHead),
      query_stride: Int64(query.rowStride), key_stride: Int64(key.rowStride),
      value_stride: Int64(value.rowStride), head_dim: Int32(shape.headDim), value_dim: Int32(shape.valueDim),
      key_limit: Int32(shape.validKeys(batch: batch)), query_offset: Int32(shape.queryOffset),
      scale: Float(scale))
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
          isa, block(keyGradient, unit, number, dim: shape.headDim), copy, Int64(keys * shape.headDim))
        attn_add(
          isa, block(valueGradient, unit, number, dim: shape.valueDim),
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
