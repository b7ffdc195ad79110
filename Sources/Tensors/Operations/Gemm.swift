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
  /// never split between threads, so the bits do not depend on `threads`. A product of up to 16 plain rows with a
  /// transposed B, as in generation, reads B in place instead, once.
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
    let aStrides = aSide == .plain ? (a.strides[0], 1) : (1, a.strides[0])
    let bStrides = bSide == .plain ? (1, b.strides[0]) : (b.strides[0], 1)
    let isFew = m <= Compute.fewRows && aSide == .plain && bSide == .transposed
    let workers = 2 * m * n * k < Compute.parallelThreshold * 16 ? 1 : threads
    let plan = GemmPlan(m: m, n: n, k: k, isa: isa, workers: workers)
    var packedB = try empty([isFew ? 0 : plan.paddedColumns * k])
    var packedA = try empty([isFew ? 0 : workers * plan.blockRows * plan.depth])
    a.withUnsafePointer { a in
      b.withUnsafePointer { b in
        packedB.withUnsafeMutablePointer { packedB in
          packedA.withUnsafeMutablePointer { packedA in
            target.withUnsafeMutablePointer { target in
              bias.withPointer { bias in
                let c = Shared(target + offset)
                let job = GemmJob(
                  plan: plan, a: Shared(a), aStrides: aStrides, b: Shared(b), bStrides: bStrides,
                  packedB: Shared(packedB), c: c, bias: bias.map { Shared($0) },
                  addend: accumulate ? c : nil)
                if isFew { return few(job) }
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

  /// Rows up to which x·Wᵀ reads W in place: beyond, the packed product is as fast.
  private static let fewRows = 16

  /// x·Wᵀ of few rows, bound by the reading of W: columns are shared out.
  private func few(_ job: GemmJob) {
    let plan = job.plan
    // A thread wakes in the time that one reads about 2¹⁸ weights from the second-level cache.
    let workers = plan.n * plan.k < 1 << 18 ? 1 : threads
    let grain = 64
    Parallel.forEach(count: (plan.n + grain - 1) / grain, threads: workers) { index, _ in
      job.runFew(columns: index * grain..<min(plan.n, (index + 1) * grain))
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

extension Optional where Wrapped == Tensor {
  /// Runs a body with a pointer to the elements, or `nil`.
  func withPointer<R>(_ body: (UnsafePointer<Float>?) -> R) -> R {
    switch self {
    case .none: body(nil)
    case .some(let tensor): tensor.withUnsafePointer { body($0) }
    }
  }
}
