import AttentionCore
import Basics
import CKernels
import Tensors

extension BackwardPass {
  /// Runs the row stripes of a pipeline.
  func run(_ work: RowStripes, of pipeline: BackwardPipeline) throws {
    let groups = shape.batch * shape.keyHeads
    let stripes = work.stripes, size = work.tiles, scratch = scratchFloats
    let threads = min(context.threads, max(1, stripes.count))
    let pending = try FirstTouchFlags(
      count: groups * pipeline.keyBlockCount, pending: true, in: context.ledger)
    let tables = try BlockTables(self, groups: groups)
    let progress = try PipelineProgress(stripes, groups: groups, in: context.ledger)
    let region = try Region([threads, size, scratch], in: context.ledger)
    @Sendable func compute(_ index: Int, _ worker: Int) throws {
      let stripe = stripes[index]
      let marks = pending.marks(from: stripe.group * pipeline.keyBlockCount)
      try run(stripe, of: pipeline, progress, to: tables.target(stripe.group), marks) {
        region.scratch((worker * size + $0) * scratch)
      }
    }
    // A stripe waits for those before it in its group; where there are none, heads go to who had their rows before.
    if stripes.allSatisfy({ $0.stage == 0 }) {
      try Parallel.forEachByShare(count: stripes.count, threads: threads, compute)
    } else {
      try Parallel.forEach(count: stripes.count, threads: threads, compute)
    }
    // Keys that nobody sees.
    for group in 0..<groups {
      let marks = pending.marks(from: group * pipeline.keyBlockCount)
      for keyBlock in 0..<pipeline.keyBlockCount where marks[keyBlock] != 0 {
        clear(pipeline.keys(ofKeyBlock: keyBlock, keyLength: shape.keyLength), ofGroup: group)
      }
    }
  }

  /// Clears the gradients of keys and values of a (batch, key head) in a range of keys.
  private func clear(_ keys: Range<Int>, ofGroup group: Int) {
    let (batch, head) = group.quotientAndRemainder(dividingBy: shape.keyHeads)
    (keyGradient.head(batch, head) + keys.lowerBound * shape.headDim)
      .update(repeating: 0, count: keys.count * shape.headDim)
    (valueGradient.head(batch, head) + keys.lowerBound * shape.valueDim)
      .update(repeating: 0, count: keys.count * shape.valueDim)
  }

  private func run(
    _ stripe: BackwardPipeline.RowStripe, of pipeline: BackwardPipeline, _ progress: PipelineProgress,
    to target: KeyGradients, _ pending: UnsafeMutablePointer<UInt8>, scratch: (Int) -> UnsafeMutableRawPointer
  ) throws {
    let list = pattern.list(batch: stripe.batch, head: stripe.head)
    // The last tile first: the gradient of a key is a sum over tiles in this order, however stripes are cut.
    let tiles = Array(list.tiles[stripe.tiles].reversed())
    let head = head(stripe.batch, stripe.head)
    var gradient = gradient(stripe.head, target)
    try list.withTables { tables throws in
      for (position, tile) in tiles.enumerated() {
        begin(scratch(position), head, &gradient, tables.rows(tile))
      }
      var complete = 0
      for keyBlock in stripe.keyBlocks {
        try context.checkCancellation()
        let keys = pipeline.keys(ofKeyBlock: keyBlock, keyLength: shape.keyLength)
        var isFirst = true
        for (position, tile) in tiles.enumerated() {
          var feed = KeyBlockIterator(tile, in: list, keys: keys)
          guard !feed.isDone else { continue }
          if isFirst {
            try progress.wait(stripe, keyBlock: keyBlock, complete: &complete, in: context)
            // The first to come clears the KV block: then it is in the cache.
            if pending[keyBlock] != 0 { clear(keys, ofGroup: stripe.group) }
            pending[keyBlock] = 0
          }
          feed.next(.max, in: list, tables) { run in
            if isFirst, plan.sharesKeyBlocks { warm(head, &gradient, run.pointee.keys) }
            add(run, to: scratch(position))
          }
          flush(scratch(position))
          isFirst = false
        }
        progress.leave(stripe, upTo: keyBlock + 1)
      }
      for position in tiles.indices {
        end(
          scratch(position), gradient.query_gradient, stride: queryGradient.rowStride, inPlace: true,
          adds: false)
      }
      progress.leave(stripe, upTo: .max)
    }
  }
}

/// For every stripe of a pipeline, the first KV block that it has not left.
private final class PipelineProgress: Sendable {
  private let stripes: [ProgressCounters]

  /// Before it begins, a stripe has left the KV blocks in which it has no keys.
  /// - Throws: `MemoryLimitExceeded`.
  init(
    _ stripes: [BackwardPipeline.RowStripe], groups: Int, in ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) {
    var starts = [[Int]](repeating: [], count: groups)
    for stripe in stripes { starts[stripe.group].append(stripe.keyBlocks.lowerBound) }
    var counters: [ProgressCounters] = []
    for group in starts { counters.append(try ProgressCounters(group, in: ledger)) }
    self.stripes = counters
  }

  /// Waits until all stripes before this one have left a KV block.
  /// - Parameter complete: how many of them are known to be complete.
  /// - Throws: `CancellationRequested`.
  func wait(
    _ stripe: BackwardPipeline.RowStripe, keyBlock: Int, complete: inout Int, in context: ExecutionContext
  ) throws {
    let counters = stripes[stripe.group]
    while complete < stripe.stage, counters[complete].current == .max { complete += 1 }
    for stage in complete..<stripe.stage { try counters[stage].wait(for: keyBlock + 1, in: context) }
  }

  /// Notes that a stripe has left all KV blocks before this one.
  func leave(_ stripe: BackwardPipeline.RowStripe, upTo keyBlock: Int) {
    stripes[stripe.group][stripe.stage].raise(to: keyBlock)
  }
}

/// Pointers to the blocks of the gradients of keys and values of every (batch, key head), written before any worker begins.
private struct BlockTables: Sendable {
  private let table: PinnedView<UnsafeMutablePointer<Float>>
  private let blocks: Int, keyHeads: Int

  /// - Throws: `MemoryLimitExceeded`.
  init(_ pass: BackwardPass, groups: Int) throws(MemoryLimitExceeded) {
    let shape = pass.shape, blocks = BackwardPlan.blockCount(keyLength: shape.keyLength)
    (self.blocks, keyHeads) = (blocks, shape.keyHeads)
    table = try PinnedView(
      repeating: pass.keyGradient.base, count: 2 * groups * blocks, in: pass.context.ledger)
    for group in 0..<groups {
      let (batch, keyHead) = (group / shape.keyHeads, group % shape.keyHeads)
      let (keys, values) = (table.pointer + 2 * group * blocks, table.pointer + (2 * group + 1) * blocks)
      for number in 0..<blocks {
        keys[number] = pass.block(
          pass.keyGradient, batch: batch, keyHead: keyHead, number, dim: shape.headDim)
        values[number] = pass.block(
          pass.valueGradient, batch: batch, keyHead: keyHead, number, dim: shape.valueDim)
      }
    }
  }

  /// Where the gradients of a (batch, key head) are added.
  func target(_ group: Int) -> BackwardPass.KeyGradients {
    BackwardPass.KeyGradients(
      batch: group / keyHeads, key: UnsafePointer(table.pointer + 2 * group * blocks),
      value: UnsafePointer(table.pointer + (2 * group + 1) * blocks))
  }
}
