import AttentionCore
import Basics
import Tensors

/// Neighbouring keys as blocks of one size, of which rows choose some; the last one of a sequence has the keys that are left.
///
/// Blocks are those of the valid keys of every sequence. A row's own block is that at its position: where q and k are two sequences, too,
/// as in windows. A row whose position is behind the last block has none.
struct KeyBlocks: Sendable {
  let shape: AttentionShape
  /// Keys of a block.
  let size: Int

  /// Blocks of the longest sequence.
  var count: Int { count(valid: shape.keyLength) }

  /// Blocks of so many keys.
  func count(valid: Int) -> Int { (valid + size - 1) / size }

  /// The keys of a block.
  func keys(_ block: Int, valid: Int) -> Range<Int> {
    min(valid, block * size)..<min(valid, (block + 1) * size)
  }

  /// The block at a row's position; `nil`: the row stands before all keys.
  func own(_ row: Int) -> Int? {
    let position = row + shape.queryOffset
    return position < 0 ? nil : position / size
  }

  /// The blocks that a row may choose among besides its own, and that one, if it has valid keys. In a causal shape they are past ones.
  func reach(batch: Int, row: Int) -> (candidates: Range<Int>, own: Range<Int>) {
    let count = count(valid: shape.validKeys(batch: batch))
    guard let own = own(row) else { return (0..<0, 0..<0) }
    return (0..<(shape.isCausal ? min(own, count) : count), own < count ? own..<own + 1 : 0..<0)
  }

  /// `k̄_b`, the mean key of every block, `[batch, keyHeads, blocks, headDim]`; 0 of a block without valid keys.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(keys · headDim).
  func means(_ key: Tensor, in context: ExecutionContext) throws -> Tensor {
    let heads = key.shape[1], dim = key.shape[3]
    var result = try context.zeros([shape.batch, heads, count, dim])
    let (source, target) = (key.rows(), result.rowsForWriting())
    try Parallel.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
      try context.checkCancellation()
      let (batch, head) = (index / heads, index % heads), valid = shape.validKeys(batch: batch)
      for block in 0..<count(valid: valid) {
        let keys = keys(block, valid: valid), share = 1 / Float(keys.count)
        let mean = target.row(batch, head, block)
        for key in keys {
          let row = source.row(batch, head, key)
          for t in 0..<dim { mean[t] += share * row[t] }
        }
      }
    }
    return result
  }

  /// Calls `body` with the products of 64 rows and the summaries of the blocks that they may choose, one product of matrices: in a causal
  /// shape the blocks up to that of the last row.
  /// - Parameters:
  ///   - query: float32 rows, `[batch, heads, n, d]`.
  ///   - summaries: float32 rows of the blocks, `[batch, key heads, blocks, d]`.
  ///   - scale: of the scores; rows of which some product is none that single precision holds are computed in Double, times |scale|.
  ///     `nil`: they stay.
  ///   - context: threads, instruction set and ledger.
  ///   - body: gets rows of `width` numbers, one for each block.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(n · blocks · d) time, O(64 · blocks) memory a thread.
  func forEachBlockOfProducts(
    _ query: Tensor, _ summaries: Tensor, scale: Double? = nil, in context: ExecutionContext,
    _ body:
      @Sendable (
        _ batch: Int, _ head: Int, _ rows: Range<Int>, _ products: UnsafeMutablePointer<Float>, _ width: Int
      ) -> Void
  ) throws {
    var alone = context
    alone.threads = 1
    let single = alone
    try shape.forEachRowBlock(in: context) { batch, head, block, _ in
      let all = count(valid: shape.validKeys(batch: batch))
      let blocks = shape.isCausal ? min(all, (own(block.upperBound - 1) ?? -1) + 1) : all
      guard blocks > 0 else { return }
      let q = query.matrix(batch, head).narrowed(axis: 0, to: block)
      let s = summaries.matrix(batch, shape.keyHead(of: head)).narrowed(axis: 0, to: 0..<blocks)
      var result = try single.matmul(q, .plain, s, .transposed)
      let products = result.pinnedForWriting()
      if let scale {
        for row in 0..<block.count {
          _ = VastScores.correct(
            products + row * blocks, count: blocks, q, s, row: row, scale: scale, context.instructionSet.code)
        }
      }
      body(batch, head, block, products + 0, blocks)
    }
  }

  /// Bytes of a thread's products of 64 rows, with what the product of matrices packs.
  var productBytes: Double {
    let rows = min(AttentionShape.rowBlock, shape.queryLength)
    let plan = GemmPlan(
      m: rows, n: count, k: shape.headDim, isa: ExecutionContext(threads: 1).instructionSet.code, workers: 1)
    return 4 * Double(rows * count + plan.packedCount + plan.scratchCount)
  }
}
