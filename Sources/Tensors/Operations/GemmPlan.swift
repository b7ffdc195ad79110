import CKernels

/// How a product is cut: k in slices of which a block of A fits the second-level cache, C in blocks that even out the
/// load. Every element of C is summed in the order of k whatever the blocks are.
struct GemmPlan: Sendable {
  let m: Int, n: Int, k: Int, isa: Int32
  let tileRows: Int, tileColumns: Int
  let depth: Int, blockRows: Int, blockColumns: Int

  init(m: Int, n: Int, k: Int, isa: Int32, workers: Int) {
    (self.m, self.n, self.k, self.isa) = (m, n, k, isa)
    tileRows = Int(attn_gemm_tile_rows(isa))
    tileColumns = Int(attn_gemm_tile_columns(isa))
    func roundedUp(_ size: Int, to tile: Int) -> Int { (size + tile - 1) / tile * tile }
    let slices = (k + 511) / 512
    depth = (k + slices - 1) / slices
    // A worker should find about four blocks: first of fewer rows, then, as A is packed again for each, of fewer columns.
    let share = workers == 1 ? m : (m + 4 * workers - 1) / (4 * workers)
    blockRows = roundedUp(min(96, max(48, share), m), to: tileRows)
    let rows = (m + blockRows - 1) / blockRows
    let wanted = workers == 1 ? 1 : (4 * workers + rows - 1) / rows
    blockColumns = roundedUp((n + wanted - 1) / wanted, to: tileColumns)
  }

  var paddedColumns: Int { (n + tileColumns - 1) / tileColumns * tileColumns }
  var depthSlices: Int { (k + depth - 1) / depth }
  var rowBlocks: Int { (m + blockRows - 1) / blockRows }
  var columnBlocks: Int { (n + blockColumns - 1) / blockColumns }
  var jobs: Int { rowBlocks * columnBlocks }
  /// Columns packed by one job: a multiple of the tile's.
  var packColumns: Int { tileColumns * 4 }
  var packJobs: Int { depthSlices * ((n + packColumns - 1) / packColumns) }
}

/// One product with its pointers; blocks of C are independent.
struct GemmJob: Sendable {
  let plan: GemmPlan
  let a: Shared<Float>
  let aStrides: (Int, Int)
  let b: Shared<Float>
  let bStrides: (Int, Int)
  let packedB: Shared<Float>
  let c: Shared<Float>
  let bias: Shared<Float>?
  /// Added to C, with its shape; it may be C.
  let addend: Shared<Float>?

  func pack(_ index: Int) {
    let slice = index % plan.depthSlices, column = index / plan.depthSlices * plan.packColumns
    let first = slice * plan.depth, depth = min(plan.depth, plan.k - first)
    attn_gemm_pack_b(
      plan.isa, b.pointer + column * bStrides.0 + first * bStrides.1, bStrides.0, bStrides.1,
      min(plan.packColumns, plan.n - column), depth,
      packedB.pointer + first * plan.paddedColumns + column * depth)
  }

  func run(_ index: Int, scratch: UnsafeMutablePointer<Float>) {
    let row = index % plan.rowBlocks * plan.blockRows, rows = min(plan.blockRows, plan.m - row)
    let column = index / plan.rowBlocks * plan.blockColumns, columns = min(plan.blockColumns, plan.n - column)
    let at = row * plan.n + column
    for slice in 0..<plan.depthSlices {
      let first = slice * plan.depth, depth = min(plan.depth, plan.k - first)
      attn_gemm_pack_a(
        plan.isa, a.pointer + row * aStrides.0 + first * aStrides.1, aStrides.0, aStrides.1, rows, depth,
        scratch)
      attn_gemm_block(
        plan.isa, scratch, packedB.pointer + first * plan.paddedColumns + column * depth, c.pointer + at,
        plan.n, rows, columns, depth, 1, (slice > 0 ? c : addend).map { UnsafePointer($0.pointer + at) },
        slice == 0 ? bias.map { UnsafePointer($0.pointer + column) } : nil)
    }
  }

  /// Columns of C by the kernel for few rows, which packs nothing.
  func runFew(columns: Range<Int>) {
    let column = columns.lowerBound
    attn_gemm_few(
      plan.isa, a.pointer, aStrides.0, b.pointer + column * bStrides.0, bStrides.0, c.pointer + column,
      plan.n,
      plan.m, columns.count, plan.k, addend.map { UnsafePointer($0.pointer + column) },
      bias.map { UnsafePointer($0.pointer + column) })
  }
}
