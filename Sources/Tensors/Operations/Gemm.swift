import CKernels

extension Compute {
  /// Whether a matrix is read as it is or transposed.
  public enum Orientation: Sendable {
    /// As stored.
    case plain
    /// Rows and columns exchanged.
    case transposed
  }

  /// The product of two matrices, written or added into a part of a tensor.
  ///
  /// `C (+)= op(A)·op(B) + bias`, op(A) `[m, k]`, op(B) `[k, n]`, C `[m, n]` row-major from `offset` in `target`.
  ///
  /// B is packed into panels of one register tile's width, A is read in place where its rows are contiguous. The work
  /// is cut into blocks of C; k is never split between threads, so the bits do not depend on `threads`.
  /// - Parameters:
  ///   - a: `[m, k]`, or `[k, m]` when transposed; last axis contiguous.
  ///   - b: `[k, n]`, or `[n, k]` when transposed; last axis contiguous.
  ///   - bias: `[n]`, added to every row.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded` for the packed copy of B.
  public func gemm(
    _ a: Tensor, _ aSide: Orientation = .plain, _ b: Tensor, _ bSide: Orientation = .plain,
    into target: inout Tensor, at offset: Int = 0, accumulate: Bool = false, bias: Tensor? = nil
  ) throws(MemoryLimitExceeded) {
    precondition(a.rank == 2 && b.rank == 2, "matrices expected: \(a.shape) · \(b.shape)")
    let m = a.shape[aSide == .plain ? 0 : 1], k = a.shape[aSide == .plain ? 1 : 0]
    let n = b.shape[bSide == .plain ? 1 : 0]
    precondition(
      k == b.shape[bSide == .plain ? 0 : 1],
      "\(a.shape) (\(aSide)) · \(b.shape) (\(bSide)): inner sizes differ")
    precondition(
      offset >= 0 && offset + m * n <= target.count && target.isContiguous, "C [\(m), \(n)] at \(offset)")
    precondition(a.strides[1] == 1 || a.shape[1] == 1, "A: the last axis is not contiguous")
    precondition(b.strides[1] == 1 || b.shape[1] == 1, "B: the last axis is not contiguous")
    precondition(bias.map { $0.count == n } ?? true, "bias: \(n) elements expected")
    guard m > 0 && n > 0 && k > 0 else { return }
    let plan = GemmPlan(m: m, n: n, k: k, isa: isa, threads: threads)
    let workers = 2 * m * n * k < Compute.parallelThreshold * 16 ? 1 : threads
    var packedB = try empty([plan.paddedColumns * k])
    var packedA = try empty([workers * plan.aScratch(inPlace: aSide == .plain)])
    let aStrides = aSide == .plain ? (a.strides[0], 1) : (1, a.strides[0])
    let bStrides = bSide == .plain ? (1, b.strides[0]) : (b.strides[0], 1)
    let scratch = plan.aScratch(inPlace: aSide == .plain)
    a.withUnsafePointer { a in
      b.withUnsafePointer { b in
        packedB.withUnsafeMutablePointer { packedB in
          packedA.withUnsafeMutablePointer { packedA in
            target.withUnsafeMutablePointer { target in
              bias.withPointer { bias in
                let job = GemmJob(
                  plan: plan, a: Shared(a), aStrides: aStrides, inPlace: aSide == .plain, b: Shared(b),
                  bStrides: bStrides, packedB: Shared(packedB), c: Shared(target + offset),
                  bias: bias.map { Shared($0) }, accumulate: accumulate)
                Parallel.forEach(count: plan.packJobs, threads: workers) { index, _ in job.pack(index) }
                let shared = Shared(packedA)
                Parallel.forEach(count: plan.jobs, threads: workers) { index, worker in
                  job.run(index, scratch: shared.pointer + worker * scratch)
                }
              }
            }
          }
        }
      }
    }
  }

  /// `op(A)·op(B) + bias` as a new tensor.
  /// - Throws: `MemoryLimitExceeded`.
  public func matmul(
    _ a: Tensor, _ aSide: Orientation = .plain, _ b: Tensor, _ bSide: Orientation = .plain,
    bias: Tensor? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    var result = try empty([a.shape[aSide == .plain ? 0 : 1], b.shape[bSide == .plain ? 1 : 0]])
    try gemm(a, aSide, b, bSide, into: &result, bias: bias)
    return result
  }
}

/// How a product is cut: k in slices that fit the first-level cache with a panel, C in blocks that fit the second.
struct GemmPlan: Sendable {
  let m: Int, n: Int, k: Int, isa: Int32
  let tileRows: Int, tileColumns: Int
  let depth: Int, blockRows: Int, blockColumns: Int

  init(m: Int, n: Int, k: Int, isa: Int32, threads: Int) {
    (self.m, self.n, self.k, self.isa) = (m, n, k, isa)
    tileRows = Int(attn_gemm_tile_rows(isa))
    tileColumns = Int(attn_gemm_tile_columns(isa))
    let slices = (k + 319) / 320
    depth = (k + slices - 1) / slices
    blockRows = max(1, 144 / tileRows) * tileRows
    let rows = (m + blockRows - 1) / blockRows
    // Enough blocks for the load to even out; fixed by the shape, so that the bits do not depend on the threads.
    let wanted = max(1, (8 + rows - 1) / rows)
    let columns = (n + wanted - 1) / wanted
    blockColumns = (columns + tileColumns - 1) / tileColumns * tileColumns
  }

  var paddedColumns: Int { (n + tileColumns - 1) / tileColumns * tileColumns }
  var depthSlices: Int { (k + depth - 1) / depth }
  var rowBlocks: Int { (m + blockRows - 1) / blockRows }
  var columnBlocks: Int { (n + blockColumns - 1) / blockColumns }
  var jobs: Int { rowBlocks * columnBlocks }
  /// Columns packed by one job: a multiple of the tile's.
  var packColumns: Int { tileColumns * 4 }
  var packJobs: Int { depthSlices * ((n + packColumns - 1) / packColumns) }
  /// Floats that a worker needs to pack its rows of A: a whole block, or the last partial tile.
  func aScratch(inPlace: Bool) -> Int { (inPlace ? tileRows : blockRows) * depth }
}

/// One product with its pointers; blocks of C are independent.
private struct GemmJob: Sendable {
  let plan: GemmPlan
  let a: Shared<Float>
  let aStrides: (Int, Int)
  let inPlace: Bool
  let b: Shared<Float>
  let bStrides: (Int, Int)
  let packedB: Shared<Float>
  let c: Shared<Float>
  let bias: Shared<Float>?
  let accumulate: Bool

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
    for slice in 0..<plan.depthSlices {
      let first = slice * plan.depth, depth = min(plan.depth, plan.k - first)
      let panel = packedB.pointer + first * plan.paddedColumns + column * depth
      let bias = slice == 0 ? bias.map { UnsafePointer($0.pointer + column) } : nil
      let adds: Int32 = accumulate || slice > 0 ? 1 : 0
      let source = a.pointer + row * aStrides.0 + first * aStrides.1
      let target = c.pointer + row * plan.n + column
      let direct = inPlace ? rows / plan.tileRows * plan.tileRows : 0
      if direct > 0 {
        attn_gemm_block(
          plan.isa, source, aStrides.0, 0, panel, target, plan.n, direct, columns, depth, adds, bias)
      }
      if direct < rows {
        attn_gemm_pack_a(
          plan.isa, source + direct * aStrides.0, aStrides.0, aStrides.1, rows - direct, depth, scratch)
        attn_gemm_block(
          plan.isa, scratch, 0, 1, panel, target + direct * plan.n, plan.n, rows - direct, columns, depth,
          adds,
          bias)
      }
    }
  }
}

extension Optional where Wrapped == Tensor {
  /// Runs a body with a pointer to the elements, or `nil`.
  func withPointer<R>(_ body: (UnsafePointer<Float>?) -> R) -> R {
    switch self {
    case .none: body(nil)
    case .some(let tensor): tensor.withUnsafePointer { body($0) }
    }
  }
}
