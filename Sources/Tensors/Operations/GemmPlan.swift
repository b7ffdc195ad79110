import CKernels

/// How a product is cut: k in slices of which a block of A fits the second-level cache, C in blocks that even out the
/// load. Every element of C is summed in the order of k whatever the blocks are.
package struct GemmPlan: Sendable {
  package let m: Int, n: Int, k: Int
  let isa: Int32
  let tileRows: Int, tileColumns: Int
  package let depth: Int
  /// Rows of C in a block: those of block i start at i times this.
  package let blockRows: Int
  let blockColumns: Int
  /// Columns of C computed before they are finished: with the rows of a block, a part of C for the second-level cache.
  let finishedColumns: Int

  /// Cuts a product for a number of workers; with one, a block of C has all columns.
  package init(m: Int, n: Int, k: Int, isa: Int32, workers: Int, choices: ProcessorChoices = .current) {
    (self.m, self.n, self.k, self.isa) = (m, n, k, isa)
    tileRows = Int(attn_gemm_tile_rows(isa))
    tileColumns = Int(attn_gemm_tile_columns(isa))
    func roundedUp(_ size: Int, to tile: Int) -> Int { (size + tile - 1) / tile * tile }
    finishedColumns = choices.productColumns
    let slices = (k + choices.productDepth - 1) / choices.productDepth
    depth = (k + slices - 1) / slices
    // A worker should find about four blocks: first of fewer rows, then, as A is packed again for each, of fewer columns.
    let share = workers == 1 ? m : (m + 4 * workers - 1) / (4 * workers)
    blockRows = roundedUp(
      min(choices.productRows, max(choices.productRows / 2, share), m), to: tileRows)
    let rows = (m + blockRows - 1) / blockRows
    let wanted = workers == 1 ? 1 : (4 * workers + rows - 1) / rows
    blockColumns = roundedUp((n + wanted - 1) / wanted, to: tileColumns)
  }

  package var paddedColumns: Int { (n + tileColumns - 1) / tileColumns * tileColumns }
  var depthSlices: Int { (k + depth - 1) / depth }
  package var rowBlocks: Int { (m + blockRows - 1) / blockRows }
  var columnBlocks: Int { (n + blockColumns - 1) / blockColumns }
  var jobs: Int { rowBlocks * columnBlocks }
  /// Columns packed by one job: a multiple of the tile's.
  var packColumns: Int { tileColumns * 4 }
  package var packJobs: Int { depthSlices * ((n + packColumns - 1) / packColumns) }
  /// Floats of the packed B.
  package var packedCount: Int { paddedColumns * k }
  /// Floats of the scratch that a worker needs.
  package var scratchCount: Int { blockRows * depth }

  /// Packs a part of op(B); element (k, j) stands at `j·strides.0 + k·strides.1`.
  package func pack(
    _ index: Int, from source: UnsafePointer<Float>, strides: (Int, Int),
    to target: UnsafeMutablePointer<Float>
  ) {
    let slice = index % depthSlices, column = index / depthSlices * packColumns
    let first = slice * depth, depth = min(depth, k - first)
    attn_gemm_pack_b(
      isa, source + column * strides.0 + first * strides.1, strides.0, strides.1,
      min(packColumns, n - column),
      depth, target + first * paddedColumns + column * depth)
  }
}

/// What is done to a block of C while it is in the cache of the thread that made it.
enum GemmFinish: Sendable {
  case none
  /// Writes f(C) into a matrix of C's shape.
  case activate(Int32, into: PinnedView<Float>)
  /// C∘f′(z), z of C's shape.
  case slope(Int32, at: PinnedView<Float>)

  /// Whether there is nothing to do.
  var isNone: Bool { if case .none = self { true } else { false } }
}

/// One product with its pointers: `C = scale·op(A)·op(B) + bias + addend`; blocks of C are independent.
///
/// `@unchecked Sendable` by its pointers: whoever makes it keeps their owners alive, and blocks of C are disjoint.
package struct GemmJob: @unchecked Sendable {
  let plan: GemmPlan
  let a: UnsafePointer<Float>
  let aStrides: (Int, Int)
  let c: UnsafeMutablePointer<Float>
  let scale: Float
  /// Added to C, with its shape; it may be C.
  let addend: UnsafePointer<Float>?
  let bias: UnsafePointer<Float>?
  /// Where the sums over k of a transposed A are added.
  let rowSums: UnsafeMutablePointer<Float>?
  let finish: GemmFinish

  init(
    _ plan: GemmPlan, a: UnsafePointer<Float>, aStrides: (Int, Int), c: UnsafeMutablePointer<Float>,
    addend: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, rowSums: UnsafeMutablePointer<Float>?,
    finish: GemmFinish
  ) {
    (self.plan, self.a, self.aStrides, self.c, scale) = (plan, a, aStrides, c, 1)
    (self.addend, self.bias, self.rowSums, self.finish) = (addend, bias, rowSums, finish)
  }

  /// A scaled product; element (i, k) of op(A) stands at `i·strides.0 + k·strides.1`, C is `[m, n]` without gaps.
  package init(
    _ plan: GemmPlan, a: UnsafePointer<Float>, strides: (Int, Int), c: UnsafeMutablePointer<Float>,
    scale: Float = 1, accumulates: Bool = false
  ) {
    (self.plan, self.a, aStrides, self.c, self.scale) = (plan, a, strides, c, scale)
    (addend, bias, rowSums, finish) = (accumulates ? UnsafePointer(c) : nil, nil, nil, .none)
  }

  /// Computes a block of C from the packed B.
  package func run(
    _ index: Int, packedB: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    let row = index % plan.rowBlocks * plan.blockRows, rows = min(plan.blockRows, plan.m - row)
    let column = index / plan.rowBlocks * plan.blockColumns, columns = min(plan.blockColumns, plan.n - column)
    for slice in 0..<plan.depthSlices {
      let first = slice * plan.depth, depth = min(plan.depth, plan.k - first)
      let source = a + row * aStrides.0 + first * aStrides.1
      attn_gemm_pack_a(plan.isa, source, aStrides.0, aStrides.1, rows, depth, scratch)
      if let rowSums, column == 0 {
        attn_column_sums(plan.isa, source, rowSums + row, depth, rows, aStrides.1)
      }
      let isLast = slice == plan.depthSlices - 1,
        step = isLast && !finish.isNone ? min(columns, plan.finishedColumns) : columns
      for part in stride(from: column, to: column + columns, by: step) {
        let width = min(step, column + columns - part), at = row * plan.n + part
        attn_gemm_block(
          plan.isa, scratch, packedB + first * plan.paddedColumns + part * depth, c + at, plan.n, rows, width,
          depth, scale, (slice > 0 ? UnsafePointer(c) : addend).map { $0 + at },
          slice == 0 ? bias.map { $0 + part } : nil)
        if isLast { finish(rows: row..<row + rows, column: part, columns: width) }
      }
    }
  }

  private func finish(rows: Range<Int>, column: Int, columns: Int) {
    switch finish {
    case .none: return
    case .activate(let kind, let target):
      for at in rows.lazy.map({ $0 * plan.n + column }) {
        attn_activate(plan.isa, kind, c + at, target.pointer + at, columns)
      }
    case .slope(let kind, let z):
      for at in rows.lazy.map({ $0 * plan.n + column }) {
        attn_activate_backward(plan.isa, kind, z.pointer + at, c + at, c + at, columns)
      }
    }
  }

  /// Columns of C by the kernel for few rows, which packs nothing; B transposed, its rows `stride` apart.
  func runFew(columns: Range<Int>, b: UnsafePointer<Float>, stride: Int) {
    let column = columns.lowerBound
    attn_gemm_few(
      plan.isa, a, aStrides.0, b + column * stride, stride, c + column, plan.n, plan.m, columns.count, plan.k,
      addend.map { $0 + column }, bias.map { $0 + column })
    finish(rows: 0..<plan.m, column: column, columns: columns.count)
  }
}
