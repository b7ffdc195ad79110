import CKernels

/// A rotation of rows of heads where they lie.
struct HeadTurn: @unchecked Sendable {
  let table: RotaryTable
  let cosine: PinnedView<Float>, sine: PinnedView<Float>

  init(_ table: RotaryTable, rows: Int) {
    precondition(table.cosine.shape[0] >= rows, "rotary table for \(rows) rows")
    (self.table, cosine, sine) = (table, table.cosine.pinned(), table.sine.pinned())
  }

  /// Turns rows of a head, the first of which is row `row` of its sequence.
  func apply(_ x: UnsafeMutablePointer<Float>, row: Int, rows: Int, dim: Int, _ isa: Int32) {
    let pairs = table.dim / 2
    attn_head_rows(
      isa, x, dim, x, rows, dim, table.dim, cosine + row * pairs, sine + row * pairs, 1,
      table.convention == .half ? 1 : 0, 1)
  }
}

/// A product one of whose matrices lies as heads. Blocks of C are independent; every element of C is summed in the order of k,
/// in the slices of `GemmPlan`, so it has the bits of `gemm`.
///
/// `@unchecked Sendable` by its pointers: whoever makes it keeps their owners alive, and blocks of C are disjoint.
struct HeadProduct: @unchecked Sendable {
  /// Which matrix lies as heads.
  enum Side {
    /// C.
    case intoHeads
    /// A.
    case heads
    /// B, with A transposed.
    case timesHeads
    /// A, transposed.
    case transposedHeads
  }

  let side: Side
  var plan: GemmPlan
  /// Rows of a sequence.
  let length: Int
  let workers: Int
  var pieces: [HeadPiece] = []
  var turns: [HeadTurn?] = []
  /// The matrix A that does not lie as heads, and the distance of its rows.
  var a: UnsafePointer<Float>?
  var aStep = 0
  var c: UnsafeMutablePointer<Float>?
  var addend: UnsafePointer<Float>?, bias: UnsafePointer<Float>?
  var rowSums: UnsafeMutablePointer<Float>?

  init(_ side: Side, m: Int, n: Int, k: Int, length: Int, in context: ExecutionContext) {
    (self.side, self.length) = (side, length)
    workers = 2 * m * n * k < context.choices.parallelOperations ? 1 : context.threads
    plan = GemmPlan(m: m, n: n, k: k, isa: context.isa, workers: workers, choices: context.choices)
    if side == .timesHeads || side == .transposedHeads { plan.splitDepth(workers: workers) }
  }

  // MARK: - Blocks

  /// Rows that blocks are cut from: those of a sequence, of A transposed all, or those of a head.
  private var rowGroups: Int {
    switch side {
    case .intoHeads, .heads: plan.m / length
    case .timesHeads: 1
    case .transposedHeads: pieces.count
    }
  }
  private var groupRows: Int {
    switch side {
    case .intoHeads, .heads: length
    case .timesHeads: plan.m
    case .transposedHeads: pieces.reduce(0) { max($0, $1.dim) }
    }
  }
  private var blocksPerGroup: Int { (groupRows + plan.blockRows - 1) / plan.blockRows }
  /// Groups of columns: of heads, or of C's columns.
  private var columnBlocks: Int {
    switch side {
    case .intoHeads, .timesHeads: (pieces.count + headsPerBlock - 1) / headsPerBlock
    case .heads, .transposedHeads: plan.columnBlocks
    }
  }
  private var headsPerBlock: Int {
    max(1, min(pieces.count, plan.blockColumns * pieces.count / plan.n))
  }
  /// Blocks of C.
  var blocks: Int { rowGroups * blocksPerGroup * columnBlocks }

  /// Computes a block of C from B, packed or, where the plan reads it in place, as it is with its rows `step` apart. `partials`:
  /// room for the C of every slice of k, where these are work of their own; the index then counts the blocks of all.
  func run(
    _ index: Int, b: UnsafePointer<Float>, step: Int, scratch: UnsafeMutablePointer<Float>,
    partials: UnsafeMutablePointer<Float>? = nil
  ) {
    let (own, index) = index.quotientAndRemainder(dividingBy: partials == nil ? .max : blocks)
    let rowBlock = index % (rowGroups * blocksPerGroup), group = rowBlock / blocksPerGroup
    let row = rowBlock % blocksPerGroup * plan.blockRows
    let count = side == .transposedHeads ? pieces[group].dim : groupRows
    guard row < count else { return }
    let rows = min(plan.blockRows, count - row), columnBlock = index / (rowGroups * blocksPerGroup)
    for slice in partials == nil ? 0..<plan.depthSlices : own..<own + 1 {
      let first = slice * plan.depth, ks = first..<min(first + plan.depth, plan.k)
      let target =
        partials.map { SliceTarget(slice, of: plan, in: $0) }
        ?? c.map { SliceTarget(slice, c: $0, addend: addend, rowSums: rowSums) }
      let block = Block(
        group: group, row: row, rows: rows, ks: ks, b: b, step: step, scratch: scratch, target: target)
      switch side {
      case .intoHeads: intoHeads(block, heads(columnBlock))
      case .heads: heads(block, columnBlock)
      case .timesHeads: timesHeads(block, heads(columnBlock))
      case .transposedHeads: transposedHeads(block, columnBlock)
      }
    }
    guard side == .intoHeads else { return }
    for head in heads(columnBlock) {
      turns[head]?.apply(
        pieces[head].row(row, of: group), row: row, rows: rows, dim: pieces[head].dim, plan.isa)
    }
  }

  /// What all parts of a block and a slice of k share.
  private struct Block {
    let group: Int, row: Int, rows: Int
    let ks: Range<Int>
    let b: UnsafePointer<Float>
    let step: Int
    let scratch: UnsafeMutablePointer<Float>
    /// A row-major C; `nil` where C lies as heads.
    let target: SliceTarget?
  }

  private func heads(_ columnBlock: Int) -> Range<Int> {
    columnBlock * headsPerBlock..<min(pieces.count, (columnBlock + 1) * headsPerBlock)
  }

  private func columns(_ columnBlock: Int) -> Range<Int> {
    columnBlock * plan.blockColumns..<min(plan.n, (columnBlock + 1) * plan.blockColumns)
  }

  /// A part of C's columns from B, in place or packed.
  private func part(_ block: Block, columns: Range<Int>) -> attn_gemm {
    var part = attn_gemm()
    if plan.readsB {
      (part.b, part.b_step, part.b_panel) = (
        block.b + block.ks.lowerBound * block.step + columns.lowerBound, block.step, plan.tileColumns
      )
    } else {
      part.b =
        block.b + block.ks.lowerBound * plan.paddedColumns + columns.lowerBound * block.ks.count
      (part.b_step, part.b_panel) = (plan.tileColumns, plan.tileColumns * block.ks.count)
    }
    (part.rows, part.columns, part.depth, part.scale) = (block.rows, columns.count, block.ks.count, 1)
    part.bias = block.ks.lowerBound == 0 ? bias.map { $0 + columns.lowerBound } : nil
    return part
  }

  /// Points a part at its elements of a row-major C.
  private func place(_ part: inout attn_gemm, _ block: Block, row: Int, column: Int) {
    let at = row * plan.n + column
    (part.c, part.c_stride) = (block.target.map { $0.c + at }, plan.n)
    part.add = block.target?.add.map { $0 + at }
  }

  // MARK: - The four kinds

  private func intoHeads(_ block: Block, _ heads: Range<Int>) {
    guard let a else { return }
    let source = a + (block.group * length + block.row) * aStep + block.ks.lowerBound
    if !plan.readsA {
      attn_gemm_pack_a(plan.isa, source, aStep, 1, block.rows, block.ks.count, block.scratch)
    }
    for head in heads {
      let piece = pieces[head]
      var part = part(block, columns: piece.column..<piece.column + piece.dim)
      part.side = Int32(plan.readsA ? ATTN_GEMM_ROWS : ATTN_GEMM_PACKED)
      (part.a, part.a_step) = (plan.readsA ? source : UnsafePointer(block.scratch), aStep)
      (part.c, part.c_stride) = (piece.row(block.row, of: block.group), piece.dim)
      part.add = block.ks.lowerBound > 0 ? UnsafePointer(part.c) : nil
      attn_gemm_product(plan.isa, &part)
    }
  }

  private func heads(_ block: Block, _ columnBlock: Int) {
    let columns = columns(columnBlock), ks = block.ks
    var part = part(block, columns: columns)
    var runs: [attn_gemm_run] = []
    var start: UnsafeMutablePointer<Float>?
    for piece in pieces {
      let own = ks.clamped(to: piece.column..<piece.column + piece.dim)
      guard !own.isEmpty else { continue }
      let first = piece.row(block.row, of: block.group) + (own.lowerBound - piece.column)
      let from = start ?? first
      start = from
      runs.append(
        attn_gemm_run(
          depth: own.count, a: first - from, b: (own.lowerBound - ks.lowerBound) * part.b_step))
    }
    part.side = Int32(ATTN_GEMM_ROWS)
    (part.a, part.a_step) = (start.map { UnsafePointer($0) }, pieces[0].dim)
    place(&part, block, row: block.group * length + block.row, column: columns.lowerBound)
    multiply(&part, runs)
  }

  private func timesHeads(_ block: Block, _ heads: Range<Int>) {
    guard let a else { return }
    let ks = block.ks, source = a + ks.lowerBound * aStep + block.row
    if !plan.readsA {
      attn_gemm_pack_a(plan.isa, source, 1, aStep, block.rows, ks.count, block.scratch)
    }
    if rowSums != nil, heads.lowerBound == 0 {
      block.target?.addRowSums(block.row, block.rows, plan.isa) {
        attn_column_sums(plan.isa, source, $0, ks.count, block.rows, aStep)
      }
    }
    let step = plan.readsA ? aStep : plan.tileRows
    let own = sequences(of: ks)
    var runs = own.map {
      attn_gemm_run(depth: $0.count, a: ($0.lowerBound - ks.lowerBound) * step, b: 0)
    }
    for head in heads {
      let piece = pieces[head]
      let start = piece.row(ks.lowerBound % length, of: ks.lowerBound / length)
      for (place, ks) in own.enumerated() {
        runs[place].b = piece.row(ks.lowerBound % length, of: ks.lowerBound / length) - start
      }
      var part = part(block, columns: piece.column..<piece.column + piece.dim)
      (part.b, part.b_step, part.b_panel) = (UnsafePointer(start), piece.dim, plan.tileColumns)
      part.side = Int32(plan.readsA ? ATTN_GEMM_COLUMNS : ATTN_GEMM_PACKED)
      (part.a, part.a_step) = (plan.readsA ? source : UnsafePointer(block.scratch), aStep)
      place(&part, block, row: block.row, column: piece.column)
      multiply(&part, runs)
    }
  }

  private func transposedHeads(_ block: Block, _ columnBlock: Int) {
    let columns = columns(columnBlock), ks = block.ks, piece = pieces[block.group]
    var part = part(block, columns: columns)
    let start = piece.row(ks.lowerBound % length, of: ks.lowerBound / length) + block.row
    let own = sequences(of: ks)
    func rows(_ ks: Range<Int>) -> UnsafeMutablePointer<Float> {
      piece.row(ks.lowerBound % length, of: ks.lowerBound / length) + block.row
    }
    if rowSums != nil, columns.lowerBound == 0 {
      block.target?.addRowSums(piece.column + block.row, block.rows, plan.isa) { sums in
        for ks in own { attn_column_sums(plan.isa, rows(ks), sums, ks.count, block.rows, piece.dim) }
      }
    }
    let runs = own.map {
      attn_gemm_run(
        depth: $0.count, a: rows($0) - start, b: ($0.lowerBound - ks.lowerBound) * part.b_step)
    }
    part.side = Int32(ATTN_GEMM_COLUMNS)
    (part.a, part.a_step) = (UnsafePointer(start), piece.dim)
    place(&part, block, row: piece.column + block.row, column: columns.lowerBound)
    multiply(&part, runs)
  }

  /// The rows of a slice, sequence by sequence.
  private func sequences(of ks: Range<Int>) -> [Range<Int>] {
    (ks.lowerBound / length...(ks.upperBound - 1) / length).map { sequence in
      ks.clamped(to: sequence * length..<(sequence + 1) * length)
    }
  }

  private func multiply(_ part: inout attn_gemm, _ runs: [attn_gemm_run]) {
    runs.withUnsafeBufferPointer { own in
      (part.runs, part.run_count) = (own.baseAddress, own.count)
      attn_gemm_product(plan.isa, &part)
    }
  }
}
