import Basics
import CKernels

extension ExecutionContext {
  /// Whether a matrix is read as it is or transposed.
  public enum Orientation: Sendable {
    /// As stored.
    case plain
    /// Rows and columns exchanged.
    case transposed
  }

  /// The product of two matrices, written or added into a part of a tensor.
  ///
  /// `C (+)= op(A)·op(B) + bias + addend`, op(A) `[m, k]`, op(B) `[k, n]`, C `[m, n]` row-major from `offset` in
  /// `target`.
  ///
  /// B is packed once into panels of one register tile's width, every block of rows of A by the worker that computes
  /// it, unless they are narrow enough to be read in place: rows that lie far, and a power of two, apart fall on few cache
  /// sets. The work is cut into blocks of C; k is
  /// never split between threads, so the bits do not depend on `threads`. A product of up to 16 plain rows with a
  /// transposed B, as in generation, reads B in place instead, once.
  /// - Parameters:
  ///   - a: `[m, k]`, or `[k, m]` when transposed; last axis contiguous.
  ///   - aSide: whether A is transposed.
  ///   - b: `[k, n]`, or `[n, k]` when transposed; last axis contiguous.
  ///   - bSide: whether B is transposed.
  ///   - target: where C goes.
  ///   - offset: the first element of C in `target`.
  ///   - accumulate: whether C is added to what is there.
  ///   - bias: `[n]`, added to every row.
  ///   - addend: `[m, n]`, instead of `accumulate`: a residual connection.
  ///   - rowSumsAt: where in `target` to add the sums over k of op(A), `[m]`; A must be transposed. With op(A) = dyᵀ
  ///     that is the gradient of a bias, read where dW has brought dy into the cache.
  /// - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded` for the packed copies.
  public func gemm(
    _ a: Tensor, _ aSide: Orientation = .plain, _ b: Tensor, _ bSide: Orientation = .plain,
    into target: inout Tensor, at offset: Int = 0, accumulate: Bool = false, bias: Tensor? = nil,
    adding addend: Tensor? = nil, rowSumsAt: Int? = nil
  ) throws(MemoryLimitExceeded) {
    try product(
      a, aSide, b, bSide, into: &target, at: offset, accumulate: accumulate, bias: bias, adding: addend,
      rowSumsAt: rowSumsAt, finish: .none)
  }

  private func product(
    _ a: Tensor, _ aSide: Orientation, _ b: Tensor, _ bSide: Orientation, into target: inout Tensor,
    at offset: Int = 0, accumulate: Bool = false, bias: Tensor?, adding addend: Tensor? = nil,
    rowSumsAt: Int? = nil, finish: GemmFinish
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
    precondition(
      addend.map { $0.count == m * n && $0.isContiguous && !accumulate } ?? true,
      "addend: [\(m), \(n)] expected, and no accumulation")
    precondition(
      rowSumsAt.map { aSide == .transposed && $0 >= 0 && $0 + m <= target.count } ?? true,
      "row sums: A transposed and \(m) elements expected")
    guard m > 0 && n > 0 && k > 0 else { return }
    let aStrides = aSide == .plain ? (a.strides[0], 1) : (1, a.strides[0])
    let bStrides = strides(of: b, bSide)
    let isFew = m <= ExecutionContext.fewRows && aSide == .plain && bSide == .transposed
    let workers = 2 * m * n * k < choices.parallelOperations ? 1 : threads
    var chosen = GemmPlan(m: m, n: n, k: k, isa: isa, workers: workers, choices: choices)
    chosen.readInPlace(aStrides: aStrides, bStrides: bStrides)
    if aSide == .transposed, bias == nil, addend == nil, finish.code == ATTN_GEMM_PLAIN {
      chosen.splitDepth(workers: workers)
    }
    let plan = chosen
    let (a, b, target) = (a.pinned(), b.pinned(), target.pinnedForWriting())
    let (bias, addend) = (bias?.pinned(), addend?.pinned())
    let c = target + offset
    let job = GemmJob(
      plan, a: a.pointer, aStrides: aStrides, c: c,
      addend: (accumulate ? c : addend?.pointer).map { UnsafePointer($0) },
      bias: (bias?.pointer).map { UnsafePointer($0) }, rowSums: rowSumsAt.map { target + $0 }, finish: finish)
    if isFew { return few(job, b, stride: bStrides.0) }
    if plan.splitsDepth {
      return try runSlices(
        plan, blocks: plan.jobs, workers: workers, b, bStrides, to: c, rowSums: job.rowSums, adds: accumulate
      ) {
        job.runSlice($0, b: $1, stride: bStrides.1, scratch: $2, partials: $3)
      }
    }
    try run(plan, blocks: plan.jobs, workers: workers, b, bStrides) {
      job.runBlock($0, b: $1, stride: bStrides.1, scratch: $2)
    }
  }

  /// Where element (column j, k) of op(B) stands: at `j·0th + k·1st`.
  func strides(of b: Tensor, _ side: Orientation) -> (Int, Int) {
    side == .plain ? (1, b.strides[0]) : (b.strides[0], 1)
  }

  /// Packs B where a plan does not read it in place, and hands out the blocks of C: `compute` gets a block's number, B and a
  /// scratch for A. Throws `MemoryLimitExceeded` for the packed copies.
  func run(
    _ plan: GemmPlan, blocks: Int, workers: Int, _ b: PinnedView<Float>, _ strides: (Int, Int),
    compute: @Sendable (Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) throws(MemoryLimitExceeded) {
    var packed = try empty([plan.packedCount + workers * plan.scratchCount])
    let view = packed.pinnedForWriting()
    Parallel.forEachByShare(count: plan.packJobs, threads: workers) { index, _ in
      plan.pack(index, from: b.pointer, strides: strides, to: view.pointer)
    }
    let source = plan.readsB ? b : view
    Parallel.forEachByShare(count: blocks, threads: workers) { index, worker in
      compute(index, source.pointer, view.pointer + plan.packedCount + worker * plan.scratchCount)
    }
  }

  /// As `run`, where slices of k are work of their own: `compute` gets the number of a block plus `blocks` times that of a slice,
  /// and room for the C of every slice. What they sum to goes to C, and the sums of A's rows with it.
  func runSlices(
    _ plan: GemmPlan, blocks: Int, workers: Int, _ b: PinnedView<Float>, _ strides: (Int, Int),
    to c: UnsafeMutablePointer<Float>, rowSums: UnsafeMutablePointer<Float>?, adds: Bool,
    compute:
      @Sendable (
        Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
      ) -> Void
  ) throws(MemoryLimitExceeded) {
    var space = try empty([plan.partialsCount])
    let partials = space.pinnedForWriting(), target = SendableTarget(c: c)
    plan.clearRowSums(partials.pointer)
    try run(plan, blocks: blocks * plan.depthSlices, workers: workers, b, strides) {
      compute($0, $1, $2, partials.pointer)
    }
    slices(plan.m * plan.n, grain: 4096, cost: plan.depthSlices) { part in
      plan.addSlices(part, of: partials.pointer, to: target.c, adds: adds)
    }
    if let rowSums { plan.addRowSums(of: partials.pointer, to: rowSums) }
  }

  /// `@unchecked Sendable`: parts of C are disjoint, and its owner lives.
  private struct SendableTarget: @unchecked Sendable {
    let c: UnsafeMutablePointer<Float>
  }

  /// Rows up to which x·Wᵀ reads W in place: beyond, the packed product is as fast.
  static let fewRows = 16

  /// x·Wᵀ of few rows, bound by the reading of W: columns are shared out.
  private func few(_ job: GemmJob, _ b: PinnedView<Float>, stride: Int) {
    let plan = job.plan, grain = 64
    // Waking a thread takes about as long as reading so many weights from the caches.
    let workers = plan.n * plan.k <= choices.parallelWeights ? 1 : threads
    Parallel.forEachByShare(count: (plan.n + grain - 1) / grain, threads: workers) { index, _ in
      job.runFew(columns: index * grain..<min(plan.n, (index + 1) * grain), b: b.pointer, stride: stride)
    }
  }

  /// `op(A)·op(B) + bias + addend` as a new tensor.
  /// - Throws: `MemoryLimitExceeded`.
  public func matmul(
    _ a: Tensor, _ aSide: Orientation = .plain, _ b: Tensor, _ bSide: Orientation = .plain,
    bias: Tensor? = nil, adding addend: Tensor? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    var result = try empty([a.shape[aSide == .plain ? 0 : 1], b.shape[bSide == .plain ? 1 : 0]])
    try gemm(a, aSide, b, bSide, into: &result, bias: bias, adding: addend)
    return result
  }

  /// `f(z)` and, unless nobody wants it, `f′(z)`, of `z = op(A)·op(B) + bias`, which are computed while z is in registers.
  ///
  /// The same bits as `matmul` and then `activate`. - Complexity: 2·m·n·k operations and m·n activations.
  /// - Throws: `MemoryLimitExceeded`.
  public func matmul(
    _ a: Tensor, _ aSide: Orientation, _ b: Tensor, _ bSide: Orientation, bias: Tensor?,
    activating kind: Activation, withSlope: Bool = true
  ) throws(MemoryLimitExceeded) -> (after: Tensor, slope: Tensor?) {
    var after = try empty([a.shape[aSide == .plain ? 0 : 1], b.shape[bSide == .plain ? 1 : 0]])
    var slope = withSlope ? try empty(after.shape) : nil
    let view = slope?.pinnedForWriting()
    try product(a, aSide, b, bSide, into: &after, bias: bias, finish: .activate(kind.code, slope: view))
    return (after, slope)
  }

  /// `(op(A)·op(B))∘slope`, slope `[m, n]`: a gradient through a product and the activation before it.
  ///
  /// The same bits as `matmul` and then `activateBackward`. - Complexity: 2·m·n·k operations.
  /// - Throws: `MemoryLimitExceeded`.
  public func matmul(
    _ a: Tensor, _ aSide: Orientation, _ b: Tensor, _ bSide: Orientation, times slope: Tensor
  ) throws(MemoryLimitExceeded) -> Tensor {
    var result = try empty([a.shape[aSide == .plain ? 0 : 1], b.shape[bSide == .plain ? 1 : 0]])
    precondition(
      slope.shape == result.shape && slope.isContiguous, "slope: \(result.shape) expected, not \(slope.shape)"
    )
    try product(a, aSide, b, bSide, into: &result, bias: nil, finish: .times(slope.pinned()))
    return result
  }
}
