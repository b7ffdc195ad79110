import CKernels

/// How a product is cut: k in slices of which a block of A fits the second-level cache, C in blocks that even out the
/// load. Every element of C is summed in the order of k whatever the blocks are.
package struct GemmPlan: Sendable {
  package let m: Int, n: Int, k: Int
  let isa: Int32
  let tileRows: Int, tileColumns: Int
  package let depth: Int
  /// Rows of C in a block: those of block i start at i times this.
  package private(set) var blockRows = 0
  private(set) var blockColumns = 0
  private let pageRows: Int, placeDistances: Int, productRows: Int
  /// Whether A and B are read where they lie.
  private(set) var readsA = false, readsB = false
  /// Whether slices of k are work of their own, each with a C of its own, which are added at the end.
  private(set) var splitsDepth = false

  /// Cuts a product for a number of workers; with one, a block of C has all columns.
  package init(m: Int, n: Int, k: Int, isa: Int32, workers: Int, choices: ProcessorChoices = .current) {
    (self.m, self.n, self.k, self.isa) = (m, n, k, isa)
    tileRows = Int(attn_gemm_tile_rows(isa))
    tileColumns = Int(attn_gemm_tile_columns(isa))
    let slices = (k + choices.productDepth - 1) / choices.productDepth
    depth = (k + slices - 1) / slices
    (pageRows, placeDistances) = (choices.pageRows, choices.placeDistances)
    productRows = choices.productRows
    // A worker should find about four blocks.
    cut(into: workers == 1 ? 1 : 4 * workers)
  }

  /// Cuts C: first into blocks of fewer rows, then, as A is packed again for each, of fewer columns.
  private mutating func cut(into pieces: Int) {
    func roundedUp(_ size: Int, to tile: Int) -> Int { (size + tile - 1) / tile * tile }
    let share = (m + pieces - 1) / pieces
    blockRows = roundedUp(min(productRows, max(productRows / 2, share), m), to: tileRows)
    let rows = (m + blockRows - 1) / blockRows
    let wanted = pieces == 1 ? 1 : (pieces + rows - 1) / rows
    blockColumns = roundedUp((n + wanted - 1) / wanted, to: tileColumns)
  }

  /// The largest C of which every slice of k may have one.
  static let splitSize = 1 << 16

  /// Shares the slices of k between workers where C is small: each reads rows of A and B that no other does, in the order in which
  /// rows are shared everywhere, so that they are in its own cache. Slices are added in their order, which is what one worker
  /// does, so the bits are the same.
  mutating func splitDepth(workers: Int) {
    guard workers > 1, depthSlices > 1, m * n <= GemmPlan.splitSize else { return }
    splitsDepth = true
    cut(into: max(1, 4 * workers / depthSlices))
  }

  /// Reads A and B in place where that is faster than packing them, as it is where few lines fall on one set of the first cache.
  ///
  /// Every element is the same sum either way. The limits are measured (`Experiments/training-speed.md`).
  mutating func readInPlace(aStrides: (Int, Int), bStrides: (Int, Int)) {
    guard m >= tileRows else { return }
    if aStrides.1 == 1 {
      readsA = aStrides.0 <= 1024 && n <= 1024 && rowsOfOneSet(stride: aStrides.0) <= pageRows
      readsB = bStrides.0 == 1 && bStrides.1 <= 256 && n % tileColumns == 0
    } else if bStrides.0 == 1, n % tileColumns == 0 {
      readsA = aStrides.1 * bStrides.1 <= placeDistances
      readsB = readsA
    }
  }

  /// How many rows of a tile fall on the same lines of 4 KiB: the first-level cache keeps as many as it has ways.
  private func rowsOfOneSet(stride: Int) -> Int {
    let bytes = stride * MemoryLayout<Float>.stride, apart = 4096 >> min(12, bytes.trailingZeroBitCount)
    return (tileRows + apart - 1) / apart
  }

  /// Reads a matrix A that lies as heads, which nothing packs.
  mutating func readHeads() { readsA = true }
  /// Likewise B.
  mutating func readB() { readsB = true }

  package var paddedColumns: Int { (n + tileColumns - 1) / tileColumns * tileColumns }
  var depthSlices: Int { (k + depth - 1) / depth }
  package var rowBlocks: Int { (m + blockRows - 1) / blockRows }
  var columnBlocks: Int { (n + blockColumns - 1) / blockColumns }
  var jobs: Int { rowBlocks * columnBlocks }
  /// Floats of the C of every slice and of the sums of its rows.
  var partialCount: Int { m * n + m }
  /// Floats of those of all slices.
  var partialsCount: Int { splitsDepth ? depthSlices * partialCount : 0 }
  /// Columns packed by one job: a multiple of the tile's.
  var packColumns: Int { tileColumns * 4 }
  package var packJobs: Int { readsB ? 0 : depthSlices * ((n + packColumns - 1) / packColumns) }
  /// Floats of the packed B.
  package var packedCount: Int { readsB ? 0 : paddedColumns * k }
  /// Floats of the scratch that a worker needs.
  package var scratchCount: Int { readsA ? 0 : blockRows * depth }

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

/// What is done to C while it is in registers.
enum GemmFinish: Sendable {
  case none
  /// C becomes f(C); f′(C), unless nobody wants it, goes to a matrix of C's shape.
  case activate(Int32, slope: PinnedView<Float>?)
  /// C becomes C∘slope, of C's shape.
  case times(PinnedView<Float>)

  /// Its number in the kernel.
  var code: Int {
    switch self {
    case .none: ATTN_GEMM_PLAIN
    case .activate: ATTN_GEMM_ACTIVATE
    case .times: ATTN_GEMM_TIMES
    }
  }

  var activation: Int32 {
    if case .activate(let kind, _) = self { kind } else { 0 }
  }

  var slope: UnsafeMutablePointer<Float>? {
    switch self {
    case .none: nil
    case .activate(_, let slope): slope?.pointer
    case .times(let slope): slope.pointer
    }
  }
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

  /// Computes a block of C from B, packed or, where the plan reads it in place, as it is.
  package func run(
    _ index: Int, packedB: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    runBlock(index, b: packedB, stride: 0, scratch: scratch)
  }

  /// Computes a block of C.
  /// - Parameters:
  ///   - index: its number.
  ///   - b: the packed B, or B.
  ///   - stride: the distance of its rows where it is read in place.
  ///   - scratch: for A.
  func runBlock(
    _ index: Int, b: UnsafePointer<Float>, stride: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    for slice in 0..<plan.depthSlices {
      run(index, slice: slice, b: b, stride: stride, scratch: scratch, to: SliceTarget(slice, of: self))
    }
  }

  /// A slice of k of a block, where slices are work of their own: `partials` has room for the C of each.
  func runSlice(
    _ index: Int, b: UnsafePointer<Float>, stride: Int, scratch: UnsafeMutablePointer<Float>,
    partials: UnsafeMutablePointer<Float>
  ) {
    let (slice, block) = index.quotientAndRemainder(dividingBy: plan.jobs)
    run(
      block, slice: slice, b: b, stride: stride, scratch: scratch,
      to: SliceTarget(slice, of: plan, in: partials))
  }

  private func run(
    _ index: Int, slice: Int, b: UnsafePointer<Float>, stride: Int, scratch: UnsafeMutablePointer<Float>,
    to target: SliceTarget
  ) {
    let row = index % plan.rowBlocks * plan.blockRows, rows = min(plan.blockRows, plan.m - row)
    let column = index / plan.rowBlocks * plan.blockColumns, columns = min(plan.blockColumns, plan.n - column)
    let at = row * plan.n + column
    let first = slice * plan.depth, depth = min(plan.depth, plan.k - first)
    let source = a + row * aStrides.0 + first * aStrides.1
    if !plan.readsA { attn_gemm_pack_a(plan.isa, source, aStrides.0, aStrides.1, rows, depth, scratch) }
    if rowSums != nil, column == 0 {
      target.addRowSums(row, rows, plan.isa) {
        attn_column_sums(plan.isa, source, $0, depth, rows, aStrides.1)
      }
    }
    let isLast = slice == plan.depthSlices - 1, isPlain = !plan.readsA || aStrides.1 == 1
    var part = attn_gemm()
    part.side = Int32(
      !plan.readsA ? ATTN_GEMM_PACKED : isPlain ? ATTN_GEMM_ROWS : ATTN_GEMM_COLUMNS)
    (part.a, part.a_step) = (
      plan.readsA ? source : UnsafePointer(scratch), isPlain ? aStrides.0 : aStrides.1
    )
    if plan.readsB {
      (part.b, part.b_step, part.b_panel) = (b + first * stride + column, stride, plan.tileColumns)
    } else {
      part.b = b + first * plan.paddedColumns + column * depth
      (part.b_step, part.b_panel) = (plan.tileColumns, plan.tileColumns * depth)
    }
    (part.rows, part.columns, part.depth, part.scale) = (rows, columns, depth, scale)
    (part.c, part.c_stride) = (target.c + at, plan.n)
    part.add = target.add.map { $0 + at }
    part.bias = slice == 0 ? bias.map { $0 + column } : nil
    if isLast {
      (part.finish, part.activation) = (Int32(finish.code), finish.activation)
      part.slope = finish.slope.map { $0 + at }
    }
    attn_gemm_product(plan.isa, &part)
  }

  /// Columns of C by the kernel for few rows, which packs nothing; B transposed, its rows `stride` apart.
  func runFew(columns: Range<Int>, b: UnsafePointer<Float>, stride: Int) {
    let column = columns.lowerBound
    attn_gemm_few(
      plan.isa, a, aStrides.0, b + column * stride, stride, c + column, plan.n, plan.m, columns.count, plan.k,
      addend.map { $0 + column }, bias.map { $0 + column })
    for row in 0..<plan.m { finishFew(row * plan.n + column, columns.count) }
  }

  /// What the tiles do, to a part of one row of C.
  private func finishFew(_ at: Int, _ count: Int) {
    switch finish {
    case .none: return
    case .activate(let kind, let slope):
      if let slope = slope.map({ $0 + at }) {
        slope.update(repeating: 1, count: count)
        attn_activate_backward(plan.isa, kind, c + at, slope, slope, count)
      }
      attn_activate(plan.isa, kind, c + at, c + at, count)
    case .times(let slope):
      for place in at..<at + count { c[place] *= slope.pointer[place] }
    }
  }
}
