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
  ///   - shape: the sizes, causality and padding.
  ///   - scale: the factor on q·k.
  ///   - pattern: the tiles of the pairs that count.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  /// - Complexity: O(executed pairs · (headDim + valueDim)).
  public static func forward(
    query: Tensor, key: Tensor, value: Tensor, shape: AttentionShape, scale: Double, pattern: TilePattern,
    in context: ExecutionContext
  ) throws -> (output: Tensor, lse: Tensor) {
    try forward(
      query: query, key: key, value: value, shape: shape, scale: scale, stages: .products, pattern: pattern,
      in: context)
  }

  /// The same with other scores than products.
  static func forward(
    query: Tensor, key: Tensor, value: Tensor, shape: AttentionShape, scale: Double, stages: ScoreStages,
    pattern: TilePattern, in context: ExecutionContext
  ) throws -> (output: Tensor, lse: Tensor) {
    let schedule = forwardSchedule(of: pattern, for: shape, in: context)
    // The heads of a group, as rows of one tile, would need weights and places of their own.
    if stages.isPlain, let decode = schedule.decode {
      var merged = decode.shape
      (merged.keyLengths, merged.softcap) = (shape.keyLengths, shape.softcap)
      let result = try forward(
        query: decode.grouped(query, shape), key: key, value: value, shape: merged, scale: scale,
        stages: stages, pattern: decode.pattern, in: context)
      return (result.output.reshaped(shape.outputShape), result.lse.reshaped(shape.lseShape))
    }
    var output = try Tensor(uninitialized: shape.outputShape, ledger: context.ledger)
    var lse = try Tensor(uninitialized: shape.lseShape, ledger: context.ledger)
    if let logits = stages.logits {
      if !schedule.plan.isWrittenOnce { output.fill(0) }
      start(&lse, with: logits)
    } else if !schedule.plan.coversAllRows {
      clear(&output, &lse, shape: shape)
    }
    try PinnedStages.reading(stages) { stages throws in
      try run(
        schedule, of: pattern, query: query, key: key, value: value, output: &output, lse: &lse, shape: shape,
        scale: scale, stages: stages, context: context)
    }
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
      forwardSchedule(of: pattern, for: shape, in: context), of: pattern, query: query, key: key,
      value: value,
      output: &output, lse: &lse, shape: shape, scale: scale, stages: PinnedStages(), context: context)
  }

  /// Sets the LSE of rows to that of a key with a logit of its head. Query heads that are rows of one tile come in their order.
  private static func start(_ lse: inout Tensor, with logits: [Float]) {
    let (batch, rows) = (lse.shape[0], lse.shape[1] * lse.shape[2])
    let target = lse.pinnedForWriting()
    for head in 0..<batch * logits.count {
      let length = rows / logits.count
      (target.pointer + head * length).update(repeating: logits[head % logits.count], count: length)
    }
  }

  /// Output 0 and LSE −∞: what rows without keys have.
  static func clear(_ output: inout Tensor, _ lse: inout Tensor, shape: AttentionShape) {
    output.fill(0)
    lse.fill(-.infinity)
  }
}
