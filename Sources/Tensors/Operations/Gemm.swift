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
  /// B is packed once into panels of one register tile's width, every block of rows of A by the worker that computes
  /// it: rows read in place, a power of two apart, would fall on few cache sets. The work is cut into blocks of C; k is
  /// never split between threads, so the bits do not depend on `threads`.
  /// - Parameters:
  ///   - a: `[m, k]`, or `[k, m]` when transposed; last axis contiguous.
  ///   - b: `[k, n]`, or `[n, k]` when transposed; last axis contiguous.
  ///   - bias: `[n]`, added to every row.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded` for the packed copies.
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
    let workers = 2 * m * n * k < Compute.parallelThreshold * 16 ? 1 : threads
    let plan = GemmPlan(m: m, n: n, k: k, isa: isa, workers: workers)
    var packedB = try empty([plan.paddedColumns * k])
    var packedA = try empty([workers * plan.blockRows * plan.depth])
    let aStrides = aSide == .plain ? (a.strides[0], 1) : (1, a.strides[0])
    let bStrides = bSide == .plain ? (1, b.strides[0]) : (b.strides[0], 1)
    a.withUnsafePointer { a in
      b.withUnsafePointer { b in
        packedB.withUnsafeMutablePointer { packedB in
          packedA.withUnsafeMutablePointer { packedA in
            target.withUnsafeMutablePointer { target in
              bias.withPointer { bias in
                let job = GemmJob(
                  plan: plan, a: Shared(a), aStrides: aStrides, b: Shared(b), bStrides: bStrides,
                  packedB: Shared(packedB), c: Shared(target + offset), bias: bias.map { Shared($0) },
                  accumulate: accumulate)
                Parallel.forEach(count: plan.packJobs, threads: workers) { index, _ in job.pack(index) }
                let shared = Shared(packedA)
                Parallel.forEach(count: plan.jobs, threads: workers) { index, worker in
                  job.run(index, scratch: shared.pointer + worker * plan.blockRows * plan.depth)
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
private struct GemmJob: Sendable {
  let plan: GemmPlan
  let a: Shared<Float>
  let aStrides: (Int, Int)
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
      attn_gemm_pack_a(
        plan.isa, a.pointer + row * aStrides.0 + first * aStrides.1, aStrides.0, aStrides.1, rows, depth,
        scratch)
      attn_gemm_block(
        plan.isa, scratch, packedB.pointer + first * plan.paddedColumns + column * depth,
        c.pointer + row * plan.n + column, plan.n, rows, columns, depth, accumulate || slice > 0 ? 1 : 0,
        slice == 0 ? bias.map { UnsafePointer($0.pointer + column) } : nil)
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
