import AttentionCore
import CKernels
import Tensors

/// The block-sparse streaming engine: exact softmax attention over the keys that a tile list names.
///
/// `o_i = Σ_j p_ij v_j`, `p_ij = exp(scale · q_i·k_j) / Σ_j exp(scale · q_i·k_j)`, over the listed pairs.
///
/// Shapes as in `AttentionShape`; tensors may be strided views as long as the last axis is contiguous. A query tile is
/// the unit of work; its rows are vector lanes (`CKernels/template/forward.h`). Nothing of size n² exists, and nothing
/// of size n beside outputs: the workspace of `forward` is a scratch of a few hundred KiB a thread.
///
/// q, k and v may be bfloat16. Products then are of bfloat16 numbers, sums of float32: with AVX512-BF16, weights are
/// down-converted to bfloat16 once, and the output is divided by the sum of the down-converted weights, so that equal values
/// come out exact; LSE is that of the float32 ones. Elsewhere a block of keys and values is up-converted and weights stay
/// float32.
///
/// What is split, and in which order partial results are added, depends on the shape and the pattern alone, so results have the
/// same bits for any number of threads.
public enum Engine {
  /// Computes output and log-sum-exp; rows that no tile covers get output 0 and LSE −∞.
  /// - Parameters:
  ///   - query: `[batch, queryHeads, queryLength, headDim]`.
  ///   - key: `[batch, keyHeads, keyLength, headDim]`.
  ///   - value: `[batch, keyHeads, keyLength, valueDim]`.
  ///   - scale: the factor on q·k.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(executed pairs · (headDim + valueDim)).
  public static func forward(
    query: Tensor, key: Tensor, value: Tensor, shape: AttentionShape, scale: Double, pattern: TilePattern,
    in context: ExecutionContext
  ) throws -> (output: Tensor, lse: Tensor) {
    let schedule = forwardSchedule(of: pattern, for: shape)
    if let decode = schedule.decode {
      var merged = decode.shape
      merged.keyLengths = shape.keyLengths
      let result = try forward(
        query: decode.grouped(query, shape), key: key, value: value, shape: merged, scale: scale,
        pattern: decode.pattern, in: context)
      return (result.output.reshaped(shape.outputShape), result.lse.reshaped(shape.lseShape))
    }
    var output = try Tensor(uninitialized: shape.outputShape, ledger: context.ledger)
    var lse = try Tensor(uninitialized: shape.lseShape, ledger: context.ledger)
    if !schedule.plan.coversAllRows { clear(&output, &lse, shape: shape) }
    try run(
      schedule, query: query, key: key, value: value, output: &output, lse: &lse, shape: shape, scale: scale,
      context: context)
    return (output, lse)
  }

  /// Computes the rows that the pattern covers into existing tensors, and leaves the others as they are.
  ///
  /// A variant whose rows differ in their inputs calls this once for each kind of row. Both tensors have a contiguous last axis.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public static func forward(
    query: Tensor, key: Tensor, value: Tensor, shape: AttentionShape, scale: Double, pattern: TilePattern,
    into output: inout Tensor, lse: inout Tensor, in context: ExecutionContext
  ) throws {
    precondition(output.shape == shape.outputShape, "output \(output.shape); \(shape.outputShape) expected")
    precondition(lse.shape == shape.lseShape, "LSE \(lse.shape); \(shape.lseShape) expected")
    try run(
      forwardSchedule(of: pattern, for: shape), query: query, key: key, value: value, output: &output,
      lse: &lse, shape: shape, scale: scale, context: context)
  }

  /// Output 0 and LSE −∞: what rows without keys have.
  static func clear(_ output: inout Tensor, _ lse: inout Tensor, shape: AttentionShape) {
    let rows = lse.count
    output.withUnsafeMutablePointer { $0.update(repeating: 0, count: rows * shape.valueDim) }
    lse.withUnsafeMutablePointer { $0.update(repeating: -.infinity, count: rows) }
  }
}

/// Where one tensor's rows lie, so that parallel loops can reach them.
///
/// `@unchecked Sendable` because a pointer is not: the engine keeps the tensor alive for the whole loop, only reads
/// inputs, and writes outputs in disjoint rows (phases, units and partial results in the plans see to that).
struct Rows: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>
  let batchStride: Int, headStride: Int, rowStride: Int

  /// Rows of a tensor `[batch, heads, length, dim]` or `[batch, heads, length]` at its base pointer.
  init(_ base: UnsafeMutablePointer<Float>, _ tensor: Tensor) {
    self.base = base
    batchStride = tensor.strides[0]
    headStride = tensor.strides[1]
    rowStride = tensor.strides[2]
  }

  /// Rows that are only read.
  init(reading base: UnsafePointer<Float>, _ tensor: Tensor) {
    self.init(UnsafeMutablePointer(mutating: base), tensor)
  }

  /// Row 0 of a (batch, head).
  func head(_ batch: Int, _ head: Int) -> UnsafeMutablePointer<Float> {
    base + batch * batchStride + head * headStride
  }
}

/// A block of memory that workers divide between them; the tensor that owns it counts it in the ledger.
///
/// `@unchecked Sendable` for the reason given at `Rows`: every worker, partial result or unit has its own part.
struct Region: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>

  /// The part that starts `offset` floats in.
  func at(_ offset: Int) -> UnsafeMutablePointer<Float> { base + offset }
  /// The same, untyped: scratch of the C kernels.
  func scratch(_ offset: Int) -> UnsafeMutableRawPointer { UnsafeMutableRawPointer(base + offset) }
}
