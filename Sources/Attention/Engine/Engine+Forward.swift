import AttentionCore
import Basics
import CKernels
import Tensors

extension Engine {
  /// Runs a plan.
  static func run(
    _ schedule: ForwardSchedule, of pattern: TilePattern, query: Tensor, key: Tensor, value: Tensor,
    output: inout Tensor,
    lse: inout Tensor,
    shape: AttentionShape, scale: Double, stages: PinnedStages, context: ExecutionContext
  ) throws {
    Operands(query: query, key: key, value: value).check(shape)
    let pass = ForwardPass(
      plan: schedule.plan, works: schedule.works, shape: shape, scale: scale, stages: stages,
      context: context,
      query: InputRows(query), key: InputRows(key), value: InputRows(value),
      output: output.rowsForWriting(), lse: lse.rowsForWriting())
    if schedule.plan.phaseCount > 1, stages.logits == nil { pass.clearRowsOfSeveralTiles() }
    if let order = phaseOrder(of: pattern, schedule, for: shape, in: context) {
      try pass.run(order)
    } else {
      for phase in schedule.works.indices { try pass.run(phase: phase) }
    }
    pass.recomputeVastRows()
  }
}

/// One forward pass: the plan and where everything lies. A class, since tiles hand it on by the thousand, and a copy of it would
/// count a reference to each of its parts.
final class ForwardPass: Sendable {
  let plan: ForwardPlan
  /// The work of every phase.
  let works: [PhaseWork]
  let shape: AttentionShape
  let scale: Double
  /// What makes scores besides products.
  let stages: PinnedStages
  let context: ExecutionContext
  let query: InputRows, key: InputRows, value: InputRows
  let output: Rows, lse: Rows

  init(
    plan: ForwardPlan, works: [PhaseWork], shape: AttentionShape, scale: Double, stages: PinnedStages,
    context: ExecutionContext, query: InputRows, key: InputRows, value: InputRows, output: Rows, lse: Rows
  ) {
    (self.plan, self.works, self.shape, self.scale) = (plan, works, shape, scale)
    (self.stages, self.context) = (stages, context)
    (self.query, self.key, self.value, self.output, self.lse) = (query, key, value, output, lse)
  }

  private var isa: Int32 { context.instructionSet.code }

  /// What the tiles of a phase find: where rows start with a logit, its LSE, beside an output of 0 that has been written if not
  /// every row is the first phase's.
  func merge(in phase: Int) -> RowMerge {
    if phase > 0 { return .rows }
    guard stages.logits != nil else { return .nothing }
    return plan.isWrittenOnce ? .logSum : .rows
  }

  /// Floats of scratch that one tile needs.
  var scratchFloats: Int {
    Engine.lines(Engine.forwardScratchBytes(shape, in: context)) / MemoryLayout<Float>.stride
  }

  private var kvBlockKeys: Int { Engine.kvBlockKeys(shape, in: context) }

  /// Marks rows that later phases may be the first to reach, so that these find "nothing yet" there: LSE −∞.
  func clearRowsOfSeveralTiles() {
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        let index = plan.pattern.index(batch: batch, head: head)
        guard plan.lists[index].phases.count > 1 else { continue }
        let list = plan.pattern.lists[index]
        let rows = lse.head(batch, head)
        for tile in list.tiles { for t in 0..<Int(tile.count) { rows[list.row(tile, t)] = -.infinity } }
      }
    }
  }

  func run(phase: Int) throws {
    let work = works[phase]
    let threads = min(context.threads, max(1, work.itemCount))
    let scratch = scratchFloats
    let partialFloats = Int(ATTN_LANES) * (shape.valueDim + 1)
    let scratchRegion = try Region([threads, plan.tilesAtOnce, scratch], in: context.ledger)
    let partials = try Region([work.kvSplits.count, partialFloats], in: context.ledger)
    let shared = try SharedRooms(plan, shape, workers: threads, in: context)
    @Sendable func compute(_ index: Int, _ worker: Int) throws {
      try context.checkCancellation()
      let own = worker * plan.tilesAtOnce * scratch
      if index < work.kvSplits.count {
        partial(work.kvSplits[index], scratchRegion.scratch(own), partials.at(index * partialFloats))
      } else {
        let group = work.group(index - work.kvSplits.count)
        tiles(group, merge: merge(in: phase), shared: shared?.rows(of: worker)) {
          scratchRegion.scratch(own + $0 * scratch)
        }
      }
    }
    if sharesAreEven(work, threads: threads) {
      try Parallel.forEachByShare(count: work.itemCount, threads: threads, compute)
    } else {
      try Parallel.forEach(count: work.itemCount, threads: threads, compute)
    }
    reduce(work.kvSplits, partials, partialFloats: partialFloats, merge: merge(in: phase))
  }

  /// Whether equal shares of the items are equal work: those of heads that are alike, and dealt out whole. Elsewhere the longest
  /// items come first: by shares, 16 threads would take a third longer for one causal head.
  private func sharesAreEven(_ work: PhaseWork, threads: Int) -> Bool {
    let heads = shape.batch * shape.queryHeads
    return work.kvSplits.isEmpty && plan.pattern.lists.count == 1
      && (heads % threads == 0 || heads >= 8 * threads)
  }

  /// Computes the tiles of a group: together, KV block by KV block, where they share long runs of keys, else one by one.
  func tiles(
    _ group: PhaseWork.Group, merge: RowMerge, shared: SharedRows? = nil,
    scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    if plan.sharesKeyBlocks { return together(group, merge: merge, shared: shared, scratch: scratch) }
    for position in 0..<group.count {
      var single = group
      (single.first, single.count) = (group.first + position, 1)
      if context.choices.prefetchesRows != 0 {
        prefetch(single, next: position + 1 < group.count ? group.tile(position + 1) : nil)
      }
      together(single, merge: merge, shared: shared) { _ in scratch(0) }
    }
  }

  /// Prefetches the output rows of a tile, to be written at its end, and the rows that the tile after it reads and whose
  /// order the processor cannot foresee: queries, gathered keys and values, and of those a constant step apart the last
  /// segment, which is what a band has not read before.
  private func prefetch(_ group: PhaseWork.Group, next: Int?) {
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

  /// Whether a tile that shares its keys with no other had better warm the cache with a KV block of them before it computes:
  /// not when its rows are computed one by one, which reads memory in order anyway.
  private func warms(_ tile: TileList.QueryTile) -> Bool {
    context.choices.warmsKeys != 0 && (tile.count > ATTN_GEMV_ROWS || tile.stride == 0)
  }

  /// Reads keys and values in the order of memory.
  private func warm(_ keys: attn_list, _ batch: Int, _ head: Int) {
    let keyHead = shape.keyHead(of: head)
    key.warm(batch, keyHead, keys, dim: shape.headDim)
    value.warm(batch, keyHead, keys, dim: shape.valueDim)
  }

  private func together(
    _ group: PhaseWork.Group, merge: RowMerge, shared: SharedRows?,
    scratch: (Int) -> UnsafeMutableRawPointer
  ) {
    let list = plan.pattern.list(batch: group.batch, head: group.head)
    let blockKeys = kvBlockKeys
    let isAlone = plan.sharesKeyBlocks && group.count == 1 && warms(list.tiles[group.tile(0)])
    list.withTables { tables in
      var feeds = (0..<group.count).map { KeyBlockIterator(list.tiles[group.tile($0)]) }
      for position in 0..<group.count {
        begin(scratch(position), group.batch, group.head, tables.rows(list.tiles[group.tile(position)]))
      }
      var open = group.count
      while open > 0 {
        open = 0
        for position in 0..<group.count where !feeds[position].isDone {
          feeds[position].next(blockKeys, in: list, tables) {
            if isAlone { warm($0.pointee.keys, group.batch, group.head) }
            add($0, to: scratch(position), shared: shared)
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

  /// Computes the partial result of a KV split: output rows, then their LSE.
  private func partial(
    _ split: PhaseWork.KVSplit, _ scratch: UnsafeMutableRawPointer, _ result: UnsafeMutablePointer<Float>
  ) {
    let list = plan.pattern.list(batch: split.batch, head: split.head)
    let tile = list.tiles[split.tile]
    list.withTables { tables in
      var feed = KeyBlockIterator(tile, in: list, split: split.index, of: split.count, keys: split.keys)
      begin(scratch, split.batch, split.head, tables.rows(tile))
      let isWarmed = warms(tile), limit = isWarmed ? kvBlockKeys : .max
      while !feed.isDone {
        feed.next(limit, in: list, tables) {
          if isWarmed { warm($0.pointee.keys, split.batch, split.head) }
          add($0, to: scratch, shared: nil)
        }
      }
      end(
        scratch, output: result, stride: shape.valueDim, lse: result + Int(ATTN_LANES) * shape.valueDim,
        inPlace: false, merge: .nothing)
    }
  }

  /// LSE reduction: combines the partial results of every split tile, in order.
  private func reduce(_ splits: [PhaseWork.KVSplit], _ partials: Region, partialFloats: Int, merge: RowMerge)
  {
    for (index, split) in splits.enumerated() {
      let list = plan.pattern.list(batch: split.batch, head: split.head)
      let tile = list.tiles[split.tile]
      let partial = partials.at(index * partialFloats)
      let lseRows = lse.head(split.batch, split.head)
      let outputRows = output.head(split.batch, split.head)
      for t in 0..<Int(tile.count) {
        let row = list.row(tile, t)
        let target = outputRows + row * output.rowStride
        let source = partial + t * shape.valueDim
        let sourceLSE = partial[Int(ATTN_LANES) * shape.valueDim + t]
        if split.index == 0, merge == .logSum { target.update(repeating: 0, count: shape.valueDim) }
        if split.index == 0, merge == .nothing {
          target.update(from: source, count: shape.valueDim)
          lseRows[row] = sourceLSE
        } else {
          attn_merge_row(isa, target, lseRows + row, source, sourceLSE, Int32(shape.valueDim))
        }
      }
    }
  }
}
