import AttentionCore
import Basics
import Tensors

extension AttentionShape {
  /// Query rows of one piece of work, where rows share no tile.
  static let rowBlock = 64

  /// Calls `body` with up to `rowBlock` neighbouring query rows of one (batch, head) at a time, side by side on the context's
  /// threads.
  /// - Throws: `CancellationRequested`; what `body` throws.
  func forEachRowBlock(
    in context: ExecutionContext,
    _ body: @Sendable (_ batch: Int, _ head: Int, _ rows: Range<Int>, _ worker: Int) throws -> Void
  ) throws {
    let blocks = (queryLength + Self.rowBlock - 1) / Self.rowBlock
    try Parallel.forEach(count: batch * queryHeads * blocks, threads: context.threads) { index, worker in
      try context.checkCancellation()
      let (item, block) = (index / blocks, index % blocks)
      let rows = block * Self.rowBlock..<min(queryLength, (block + 1) * Self.rowBlock)
      try body(item / queryHeads, item % queryHeads, rows, worker)
    }
  }
}
