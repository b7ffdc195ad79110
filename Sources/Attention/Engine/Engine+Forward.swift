import AttentionCore
import Basics
import CKernels
import Tensors

extension Engine {
  /// Runs a plan.
  static func run(
    _ schedule: ForwardSchedule, query: Tensor, key: Tensor, value: Tensor, output: inout Tensor,
    lse: inout Tensor,
    shape: AttentionShape, scale: Double, context: ExecutionContext
  ) throws {
    Operands(query: query, key: key, value: value).check(shape)
    // The strides alone: a copy of a tensor would share its storage and make the write copy it.
    let outputStrides = output.strides
    let lseStrides = lse.strides
    try output.withUnsafeMutablePointer { outputBase throws in
      try lse.withUnsafeMutablePointer { lseBase throws in
        try query.withUnsafeRawPointer { queryBase throws in
          try key.withUnsafeRawPointer { keyBase throws in
            try value.withUnsafeRawPointer { valueBase throws in
              let pass = ForwardPass(
                plan: schedule.plan, works: schedule.works, shape: shape, scale: scale, context: context,
                query: InputRows(queryBase, query), key: InputRows(keyBase, key),
                value: InputRows(valueBase, value), output: Rows(outputBase, strides: outputStrides),
                lse: Rows(lseBase, strides: lseStrides))
              if schedule.plan.waveCount > 1 { pass.clearRowsOfSeveralTiles() }
              if !(try pass.runChained()) {
                for wave in schedule.works.indices { try pass.run(wave: wave) }
              }
              pass.recomputeVastRows()
            }
          }
        }
      }
    }
  }
}

/// One forward pass: the plan and where everything lies.
struct ForwardPass: Sendable {
  let plan: ForwardPlan
  /// The work of every wave.
  let works: [WaveWork]
  let shape: AttentionShape
  let scale: Double
  let context: ExecutionContext
  let query: InputRows, key: InputRows, value: InputRows
  let output: Rows, lse: Rows

  private var isa: Int32 { context.instructionSet.code }

  /// Floats of scratch that one tile needs.
  var scratchFloats: Int { (Engine.forwardScratchBytes(shape, in: context) + 63) / 64 * 16 }

  /// Keys that the tiles of a group compute before they move on: what K and V may fill of the second-level cache.
  private var panelKeys: Int {
    let fitting = (256 << 10) / (shape.precision.byteCount * (shape.headDim + shape.valueDim))
    return max(1, fitting / Int(ATTN_BLOCK)) * Int(ATTN_BLOCK)
  }

  /// Marks rows that later waves may be the first to reach, so that these find "nothing yet" there: LSE −∞.
  func clearRowsOfSeveralTiles() {
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        let index = plan.pattern.index(batch: batch, head: head)
        guard plan.lists[index].waves.count > 1 else { continue }
        let list = plan.pattern.lists[index]
        let rows = lse.head(batch, head)
        for tile in list.tiles { for t in 0..<Int(tile.count) { rows[list.row(tile, t)] = -.infinity } }
      }
    }
  }

  func run(wave: Int) throws {
    let work = works[wave]
    let threads = min(context.threads, max(1, work.itemCount))
    let scratch = scratchFloats
    let slotFloats = Int(ATTN_LANES) * (shape.valueDim + 1)
    var scratchSpace = try Tensor(
      uninitialized: [threads, plan.tilesAtOnce, scratch], ledger: context.ledger)
    var slotSpace = try Tensor(uninitialized: [work.parts.count, slotFloats], ledger: context.ledger)
    try scratchSpace.withUnsafeMutablePointer { scratchBase throws in
      try slotSpace.withUnsafeMutablePointer { slotBase throws in
        let scratchRegion = Region(base: scratchBase)
        let slots = Region(base: slotBase)
        try Parallel.forEach(count: work.itemCount, threads: threads) { index, worker in
          try context.checkCancellation()
          let own = worker * plan.tilesAtOnce * scratch
          if index < work.parts.count {
            part(work.parts[index], scratchRegion.scratch(own), slots.at(index * slotFloats))
          } else {
            tiles(work.group(index - work.parts.count), merge: wave > 0) {
              scratchRegion.scratch(own + $0 * scratch)
            }
          }
        }
        join(work.parts, slots, slotFloats: slotFloats, merge: wave > 0)
      }
    }
  }

  /// Computes the tiles of a group: together, panel by panel of keys, where they share long runs of keys, else in turn.
  func tiles(_ group: WaveWork.Group, merge: Bool, scratch: (Int) -> UnsafeMutableRawPointer) {
    if plan.sharesKeyBlocks { return together(group, merge: merge, scratch: scratch) }
    for position in 0..<group.count {
      var single = group
      (single.first, single.count) = (group.first + position, 1)
      prefetch(single, next: position + 1 < group.count ? group.tile(position + 1) : nil)
      together(single, merge: merge) { _ in scratch(0) }
    }
  }

  /// Asks for the output rows of a tile, to be written at its end, and for the rows that the tile after it reads and whose
  /// order the processor cannot foresee: queries, gathered keys and values, and of those a constant step apart the last
  /// segment, which is what a band has not read before.
  private func prefetch(_ group: WaveWork.Group, next: Int?) {
    let list = plan.pattern.list(batch: group.batch, head: group.head)
    list.withTables { tables in
      output.prefetch(
        group.batch, group.head, tables.rows(list.tiles[group.tile(0)]), dim: shape.valueDim, writes: true)
      guard let next else { return }
      let tile = list.tiles[next]
      query.prefetch(group.batch, group.head, tables.rows(tile), dim: shape.headDim)
      let keyHead = shape.keyHead(of: group.head)
      let last = Int(tile.firstSegment + tile.segmentCount) - 1
      for number in Int(tile.firstSegment)..<last + 1 {
        let segment = list.segments[number]
        guard segment.stride == 0 || (segment.stride > 1 && number == last) else { continue }
        let keys = tables.run(segment, from: 0, count: Int(segment.count)).keys
        key.prefetch(group.batch, keyHead, keys, dim: shape.headDim)
        value.prefetch(group.batch, keyHead, keys, dim: shape.valueDim)
      }
    }
  }

  /// Whether a tile that shares its keys with no other had better read a panel of them before it computes: not when its
  /// rows are computed one by one, which keeps the order of memory.
  private func reads(_ tile: TileList.QueryTile) -> Bool { tile.count > ATTN_NARROW || tile.stride == 0 }

  /// Reads keys and values in the order of memory.
  private func stream(_ keys: attn_list, _ batch: Int, _ head: Int) {
    let keyHead = shape.keyHead(of: head)
    key.stream(batch, keyHead, keys, dim: shape.headDim)
    value.stream(batch, keyHead, keys, dim: shape.valueDim)
  }

  private func together(
    _ group: WaveWork.Group, merge: Bool, scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    let list = plan.pattern.list(batch: group.batch, head: group.head)
    let panel = panelKeys
    let isAlone = plan.sharesKeyBlocks && group.count == 1 && reads(list.tiles[group.tile(0)])
    list.withTables { tables in
      var feeds = (0..<group.count).map { KeyBlockIterator(list.tiles[group.tile($0)]) }
      for position in 0..<group.count {
        begin(scratch(position), group.batch, group.head, tables.rows(list.tiles[group.tile(position)]))
      }
      var open = group.count
      while open > 0 {
        open = 0
        for position in 0..<group.count where !feeds[position].isDone {
          feeds[position].next(panel, in: list, tables) {
            if isAlone { stream($0.pointee.keys, group.batch, group.head) }
            add($0, to: scratch(position))
          }
          open += feeds[position].isDone ? 0 : 1
        }
      }
      for position in 0..<group.count {
        end(
          scratch(position), output: output.head(group.batch, group.head), stride: output.rowStride,
          lse: lse.head(group.batch, group.head), inPlace: true, merge: merge)
      }
    }
  }

  /// Computes a part of a split tile into its slot: output rows, then their LSE.
  private func part(
    _ part: WaveWork.Part, _ scratch: UnsafeMutableRawPointer, _ slot: UnsafeMutablePointer<Float>
  ) {
    let list = plan.pattern.list(batch: part.batch, head: part.head)
    let tile = list.tiles[part.tile]
    list.withTables { tables in
      var feed = KeyBlockIterator(tile, in: list, part: part.part, of: part.parts, keys: part.keys)
      begin(scratch, part.batch, part.head, tables.rows(tile))
      let streams = reads(tile), limit = streams ? panelKeys : .max
      while !feed.isDone {
        feed.next(limit, in: list, tables) {
          if streams { stream($0.pointee.keys, part.batch, part.head) }
          add($0, to: scratch)
        }
      }
      end(
        scratch, output: slot, stride: shape.valueDim, lse: slot + Int(ATTN_LANES) * shape.valueDim,
        inPlace: false, merge: false)
    }
  }

  /// Combines the parts of split tiles, in order.
  private func join(_ parts: [WaveWork.Part], _ slots: Region, slotFloats: Int, merge: Bool) {
    for (index, part) in parts.enumerated() {
      let list = plan.pattern.list(batch: part.batch, head: part.head)
      let tile = list.tiles[part.tile]
      let slot = slots.at(index * slotFloats)
      let lseRows = lse.head(part.batch, part.head)
      let outputRows = output.head(part.batch, part.head)
      for t in 0..<Int(tile.count) {
        let row = list.row(tile, t)
        let target = outputRows + row * output.rowStride
        let source = slot + t * shape.valueDim
        let sourceLSE = slot[Int(ATTN_LANES) * shape.valueDim + t]
        if part.part == 0 && !merge {
          target.update(from: source, count: shape.valueDim)
          lseRows[row] = sourceLSE
        } else {
          attn_merge_row(isa, target, lseRows + row, source, sourceLSE, Int32(shape.valueDim))
        }
      }
    }
  }
}
