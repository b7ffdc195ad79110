import AttentionCore
import CKernels
import Tensors

/// Products of rows and the summaries of blocks. Rows and columns of the summaries of a head are exchanged once, so that no product packs
/// anything: rows are broadcast from where they lie, and neighbouring blocks are the lanes of a vector.
struct BlockProducts: Sendable {
  /// Numbers of a summary.
  let dim: Int
  /// Numbers from a row of products, or of exchanged summaries, to the next: no power of two, whose rows would share few lines of a cache.
  let stride: Int
  private let heads: Int
  private let columns: PinnedView<Float>
  private let isa: Int32

  /// Exchanges rows and columns.
  /// - Parameter summaries: float32, `[batch, key heads, blocks, d]`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  init(_ summaries: Tensor, in context: ExecutionContext) throws {
    let (batch, heads, count, dim) = (
      summaries.shape[0], summaries.shape[1], summaries.shape[2], summaries.shape[3]
    )
    let stride = Self.stride(count), isa = context.instructionSet.code
    var exchanged = try context.zeros([batch * heads, dim, stride])
    let (source, target) = (summaries.rows(), exchanged.pinnedForWriting())
    try Parallel.forEach(count: batch * heads, threads: context.threads) { index, _ in
      try context.checkCancellation()
      attn_chunk_transpose(
        isa, source.row(index / heads, index % heads, 0), source.rowStride, nil,
        target + index * dim * stride,
        stride, count, dim)
    }
    (self.dim, self.stride, self.heads, self.isa, columns) = (dim, stride, heads, isa, target)
  }

  private static func stride(_ count: Int) -> Int { (count + 15) / 16 * 16 + 16 }

  /// Bytes of the exchanged summaries, and of the products of 64 rows of one thread.
  static func byteCount(_ shape: AttentionShape, blocks: Int, dim: Int) -> Double {
    let rows = min(AttentionShape.rowBlock, shape.queryLength)
    return 4 * Double(stride(blocks)) * Double(shape.batch * shape.keyHeads * dim + rows)
  }

  /// Writes the products of some rows and the first `blocks` summaries of a head; behind them, up to a whole vector, stand those of the next.
  /// - Parameters:
  ///   - rows: the first of them, the others `rowStride` numbers apart.
  ///   - products: rows that are `stride` apart.
  func multiply(
    _ rows: UnsafePointer<Float>, rowStride: Int, count: Int, _ batch: Int, _ keyHead: Int, blocks: Int,
    into products: UnsafeMutablePointer<Float>
  ) {
    var product = attn_product(
      a: rows, a_stride: rowStride, down: 0, b: columns + (batch * heads + keyHead) * dim * stride,
      b_stride: stride, c: products, c_stride: stride, rows: count,
      columns: min(stride, (blocks + 15) / 16 * 16), depth: dim, factors: nil, adds: 0,
      part: Int32(ATTN_WHOLE), first: 0, ahead: attn_ahead(), also: attn_ahead())
    attn_chunk_product(isa, &product)
  }
}

/// Some rows of one head and their products with the summaries of the blocks that they may choose.
struct RowsOfProducts {
  let batch: Int, head: Int, rows: Range<Int>
  /// The rows that were multiplied, `rowStride` numbers apart.
  let left: UnsafePointer<Float>, rowStride: Int
  let products: UnsafeMutablePointer<Float>, stride: Int

  /// The products of a row, one a block.
  func of(_ row: Int) -> UnsafeMutablePointer<Float> { products + (row - rows.lowerBound) * stride }
  /// A row that was multiplied.
  func left(_ row: Int) -> UnsafePointer<Float> { left + (row - rows.lowerBound) * rowStride }
}

extension KeyBlocks {
  /// Calls `body` with the products of 64 rows and the summaries of the blocks that they may choose: in a causal shape those up to that of
  /// the last row.
  /// - Parameters:
  ///   - query: float32 rows, `[batch, heads, n, d]`.
  ///   - summaries: float32 rows of the blocks, `[batch, key heads, blocks, d]`; with `halves` twice as wide.
  ///   - halves: ±1: rows become `[max(±q, 0), min(±q, 0)]`, whose product with a block's bounds is `Σ_t max(q_t·min_t, q_t·max_t)`.
  ///   - scale: of the scores; rows of which some product is none that single precision holds are computed in Double, times |scale|.
  ///     `nil`: they stay.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(n · blocks · d) time, O(64 · blocks) memory a thread.
  func forEachBlockOfProducts(
    _ query: Tensor, _ summaries: Tensor, halves: Float? = nil, scale: Double? = nil,
    in context: ExecutionContext, _ body: @Sendable (_ products: RowsOfProducts) -> Void
  ) throws {
    let summed = try BlockProducts(summaries, in: context)
    let source = query.rows(), dim = query.shape[3], isa = context.instructionSet.code
    let tile = min(AttentionShape.rowBlock, shape.queryLength)
    let width = tile * (summed.stride + (halves == nil ? 0 : summed.dim))
    let scratch = try Region([max(1, context.threads), width], in: context.ledger)
    try shape.forEachRowBlock(in: context) { batch, head, block, worker in
      let all = count(valid: shape.validKeys(batch: batch)), keyHead = shape.keyHead(of: head)
      let blocks = shape.isCausal ? min(all, (own(block.upperBound - 1) ?? -1) + 1) : all
      guard blocks > 0 else { return }
      let products = scratch.at(worker * width)
      var (left, stride) = (
        UnsafePointer(source.row(batch, head, block.lowerBound)), source.rowStride
      )
      if let sign = halves {
        let target = products + tile * summed.stride
        attn_signed_halves(isa, left, stride, sign, target, block.count, dim)
        (left, stride) = (UnsafePointer(target), summed.dim)
      }
      summed.multiply(
        left, rowStride: stride, count: block.count, batch, keyHead, blocks: blocks, into: products)
      if let scale, attn_scan_finite(isa, products, summed.stride, block.count, blocks) == 0 {
        let q = query.matrix(batch, head).narrowed(axis: 0, to: block)
        let s = summaries.matrix(batch, keyHead).narrowed(axis: 0, to: 0..<blocks)
        for row in 0..<block.count {
          _ = VastScores.correct(
            products + row * summed.stride, count: blocks, q, s, row: row, scale: scale, isa)
        }
      }
      body(
        RowsOfProducts(
          batch: batch, head: head, rows: block, left: left, rowStride: stride, products: products,
          stride: summed.stride))
    }
  }

  /// Bytes of the products, with what a thread needs for them.
  /// - Parameter dim: numbers of a summary.
  func productBytes(_ dim: Int) -> Double { BlockProducts.byteCount(shape, blocks: count, dim: dim) }
}
