import Basics
import CKernels

/// Products whose rows lie as heads on one side. Every one has the bits of `gemm` beside `splitHeads` or `mergeHeads`, which do
/// the work where heads are too narrow for the register tiles or sequences too short.
extension ExecutionContext {
  /// `op(B)`'s product with token rows, its columns as heads: x `[batch·length, k]`, `x·op(B) + bias` →
  /// `[batch, heads, length, dim]` for every entry of `columns`, turned where that says so.
  ///
  /// - Parameters:
  ///   - x: token rows; last axis contiguous.
  ///   - b: `[k, n]`, or `[n, k]` when transposed.
  ///   - bSide: whether B is transposed.
  ///   - bias: n elements.
  ///   - batch: sequences.
  ///   - columns: the heads, n columns in all.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded`.
  public func matmul(
    _ x: Tensor, _ b: Tensor, _ bSide: Orientation, bias: Tensor? = nil, batch: Int,
    into columns: [HeadColumns]
  ) throws(MemoryLimitExceeded) -> [Tensor] {
    let (m, k) = (x.shape[0], x.shape[1]), n = b.shape[bSide == .plain ? 1 : 0], length = m / batch
    precondition(
      k == b.shape[bSide == .plain ? 0 : 1] && columns.reduce(0) { $0 + $1.heads * $1.dim } == n,
      "\(x.shape) · \(b.shape) (\(bSide)) into \(columns.map { [$0.heads, $0.dim] })")
    var job = HeadProduct(.intoHeads, m: m, n: n, k: k, length: length, in: self)
    job.plan.readInPlace(aStrides: (x.strides[0], 1), bStrides: strides(of: b, bSide))
    guard m > ExecutionContext.fewRows, columns.allSatisfy({ $0.dim % job.plan.tileColumns == 0 }) else {
      let product = try matmul(x, .plain, b, bSide, bias: bias)
      var result: [Tensor] = [], column = 0
      for part in columns {
        result.append(
          try splitHeads(
            product, column: column, batch: batch, heads: part.heads, dim: part.dim, rotary: part.rotary))
        column += part.heads * part.dim
      }
      return result
    }
    var result: [Tensor] = []
    for part in columns { result.append(try empty([batch, part.heads, length, part.dim])) }
    let views = result.indices.map { result[$0].pinnedForWriting() }
    job.pieces = HeadPiece.pieces(result.indices.map { (views[$0], result[$0].shape) })
    job.turns = columns.flatMap { part in
      [HeadTurn?](repeating: part.rotary.map { HeadTurn($0, rows: length) }, count: part.heads)
    }
    let (a, bView, biasView) = (x.pinned(), b.pinned(), bias?.pinned())
    (job.a, job.aStep) = (UnsafePointer(a.pointer), x.strides[0])
    job.bias = biasView.map { UnsafePointer($0.pointer) }
    try run(job, bView, strides(of: b, bSide))
    return result
  }

  /// `X·op(B) + bias + addend` for rows X that lie as heads.
  /// - Parameters:
  ///   - x: `[m, k]` as heads.
  ///   - b: `[k, n]`, or `[n, k]` when transposed.
  ///   - bSide: whether B is transposed.
  ///   - bias: n elements.
  ///   - addend: `[m, n]`, row-major.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded`.
  public func matmul(
    _ x: HeadMatrix, _ b: Tensor, _ bSide: Orientation, bias: Tensor? = nil, adding addend: Tensor? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    let (m, k) = (x.rows, x.columns), n = b.shape[bSide == .plain ? 1 : 0]
    precondition(
      k == b.shape[bSide == .plain ? 0 : 1], "heads [\(m), \(k)] · \(b.shape) (\(bSide)): inner sizes differ")
    let dim = x.parts[0].shape[3]
    var job = HeadProduct(.heads, m: m, n: n, k: k, length: x.length, in: self)
    job.plan.readInPlace(aStrides: (dim, 1), bStrides: strides(of: b, bSide))
    guard x.length >= job.plan.tileRows, m > ExecutionContext.fewRows,
      x.parts.allSatisfy({ $0.shape[3] == dim })
    else {
      return try matmul(x.moved(in: self), .plain, b, bSide, bias: bias, adding: addend)
    }
    job.plan.readHeads()
    var result = try empty([m, n])
    let heads = x.parts.map { $0.pinned() }, c = result.pinnedForWriting()
    job.pieces = HeadPiece.pieces(x.parts.indices.map { (heads[$0], x.parts[$0].shape) })
    let (bView, biasView, addendView) = (b.pinned(), bias?.pinned(), addend?.pinned())
    precondition(
      addend.map { $0.count == m * n && $0.isContiguous } ?? true, "addend: [\(m), \(n)] expected")
    (job.c, job.bias) = (c.pointer, biasView.map { UnsafePointer($0.pointer) })
    job.addend = addendView.map { UnsafePointer($0.pointer) }
    try run(job, bView, strides(of: b, bSide))
    return result
  }

  /// `C += Aᵀ·X` for rows X that lie as heads: A `[k, m]`, X `[k, n]`, C `[m, n]` from `offset` in `target`.
  /// - Parameters:
  ///   - a: rows as many as X has; last axis contiguous.
  ///   - x: heads.
  ///   - target: where C is.
  ///   - offset: its first element.
  ///   - rowSumsAt: where the sums over the rows of A are added, m elements; `nil`: nowhere.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded`.
  public func accumulateProduct(
    ofTransposed a: Tensor, _ x: HeadMatrix, into target: inout Tensor, at offset: Int, rowSumsAt: Int? = nil
  ) throws(MemoryLimitExceeded) {
    let (k, m) = (a.shape[0], a.shape[1]), n = x.columns
    precondition(k == x.rows && offset + m * n <= target.count, "\(a.shape)ᵀ · heads [\(x.rows), \(n)]")
    var job = HeadProduct(.timesHeads, m: m, n: n, k: k, length: x.length, in: self)
    let dim = x.parts.reduce(0) { max($0, $1.shape[3]) }
    job.plan.readInPlace(aStrides: (1, a.strides[0]), bStrides: (1, dim))
    guard m >= job.plan.tileRows, x.parts.allSatisfy({ $0.shape[3] % job.plan.tileColumns == 0 }) else {
      return try gemm(
        a, .transposed, x.moved(in: self), .plain, into: &target, at: offset, accumulate: true,
        rowSumsAt: rowSumsAt)
    }
    job.plan.readB()
    let heads = x.parts.map { $0.pinned() }, view = target.pinnedForWriting(), aView = a.pinned()
    job.pieces = HeadPiece.pieces(x.parts.indices.map { (heads[$0], x.parts[$0].shape) })
    (job.a, job.aStep, job.c) = (UnsafePointer(aView.pointer), a.strides[0], view + offset)
    job.addend = UnsafePointer(view + offset)
    job.rowSums = rowSumsAt.map { view + $0 }
    try run(job, heads[0], (1, dim))
  }

  /// `C += Xᵀ·B` for rows X that lie as heads: X `[k, m]`, B `[k, n]`, C `[m, n]` from `offset` in `target`.
  /// - Parameters:
  ///   - x: heads.
  ///   - b: as many rows; last axis contiguous.
  ///   - target: where C is.
  ///   - offset: its first element.
  ///   - rowSumsAt: where the sums over the rows of X are added, m elements; `nil`: nowhere.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded`.
  public func accumulateProduct(
    ofTransposed x: HeadMatrix, _ b: Tensor, into target: inout Tensor, at offset: Int, rowSumsAt: Int? = nil
  ) throws(MemoryLimitExceeded) {
    let (k, m) = (x.rows, x.columns), n = b.shape[1]
    precondition(k == b.shape[0] && offset + m * n <= target.count, "heads [\(k), \(m)]ᵀ · \(b.shape)")
    var job = HeadProduct(.transposedHeads, m: m, n: n, k: k, length: x.length, in: self)
    let dim = x.parts.reduce(0) { max($0, $1.shape[3]) }
    job.plan.readInPlace(aStrides: (1, dim), bStrides: (1, b.strides[0]))
    guard readsTransposed(x) else {
      return try gemm(
        x.moved(in: self), .transposed, b, .plain, into: &target, at: offset, accumulate: true,
        rowSumsAt: rowSumsAt)
    }
    job.plan.readHeads()
    let heads = x.parts.map { $0.pinned() }, view = target.pinnedForWriting(), bView = b.pinned()
    job.pieces = HeadPiece.pieces(x.parts.indices.map { (heads[$0], x.parts[$0].shape) })
    (job.c, job.addend) = (view + offset, UnsafePointer(view + offset))
    job.rowSums = rowSumsAt.map { view + $0 }
    try run(job, bView, (1, b.strides[0]))
  }

  /// Whether `Xᵀ·B` reads heads where they lie: they are as wide as register tiles are high.
  public func readsTransposed(_ x: HeadMatrix) -> Bool {
    x.parts.allSatisfy { $0.shape[3] >= Int(attn_gemm_tile_rows(isa)) }
  }

  /// Computes all blocks of C.
  private func run(
    _ job: HeadProduct, _ b: PinnedView<Float>, _ strides: (Int, Int)
  ) throws(MemoryLimitExceeded) {
    let plan = job.plan
    guard plan.m > 0 && plan.n > 0 && plan.k > 0 else { return }
    if plan.splitsDepth, let c = job.c {
      return try runSlices(
        plan, blocks: job.blocks, workers: job.workers, b, strides, to: c, rowSums: job.rowSums,
        adds: job.addend != nil
      ) {
        job.run($0, b: $1, step: strides.1, scratch: $2, partials: $3)
      }
    }
    try run(plan, blocks: job.blocks, workers: job.workers, b, strides) {
      job.run($0, b: $1, step: strides.1, scratch: $2)
    }
  }
}
