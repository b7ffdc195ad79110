import AttentionCore
import CKernels
import Tensors

extension Engine {
  /// The closed-form cost of a pass over a pattern: workspace is that of one thread, with the best instruction set.
  /// - Parameters:
  ///   - pass: forward, backward or one decoding step.
  ///   - shape: the sizes.
  ///   - operands: what the variant reads.
  ///   - pattern: the tiles of the pairs that count.
  ///   - neededPairs: what the definition needs, over batch and query heads.
  ///   - stateBytes: what a decoder must keep a sequence.
  /// - Complexity: O(tiles + segments).
  public static func cost(
    of pass: PassKind, shape: AttentionShape, operands: [Operand] = Operand.standard, pattern: TilePattern,
    neededPairs: Double, stateBytes: Double
  ) -> Cost {
    Cost(
      of: pass, shape: shape, operands: operands, neededPairs: neededPairs,
      executedPairs: executedPairs(shape: shape, pattern: pattern),
      workspaceBytes: pass == .backward
        ? backwardWorkspace(shape: shape, pattern: pattern)
        : forwardWorkspace(shape: shape, pattern: pattern), stateBytes: stateBytes)
  }

  /// Pairs that the tiles execute, over batch and query heads.
  public static func executedPairs(shape: AttentionShape, pattern: TilePattern) -> Double {
    let perList = pattern.lists.map(\.executedPairs)
    var sum = 0.0
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads { sum += perList[pattern.index(batch: batch, head: head)] }
    }
    return sum
  }

  /// The scratch of one thread over tiles that share no KV blocks.
  static func scratchBytes(_ shape: AttentionShape, backward: Bool) -> Int {
    let context = ExecutionContext(threads: 1)
    return backward
      ? backwardScratchBytes(shape, in: context) * BackwardPlan.localGroup
      : forwardScratchBytes(shape, in: context)
  }

  private static func forwardWorkspace(shape: AttentionShape, pattern: TilePattern) -> Double {
    let schedule = forwardSchedule(of: pattern, for: shape)
    let tile = Double(forwardScratchBytes(shape, in: ExecutionContext(threads: 1)))
    let partials = schedule.works.map(\.kvSplits.count).max() ?? 0
    return tile * Double(schedule.plan.tilesAtOnce)
      + Double(partials * Int(ATTN_LANES) * (shape.valueDim + 1) * 4)
  }

  private static func backwardWorkspace(shape: AttentionShape, pattern: TilePattern) -> Double {
    let plan = backwardPlan(of: pattern, for: shape)
    let tile = Double(backwardScratchBytes(shape, in: ExecutionContext(threads: 1)))
    let accumulator = BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)
    return tile * Double(plan.group) + 4 * Double(plan.accumulatorCount * accumulator)
      + 4 * Double(plan.partials.count * Int(ATTN_LANES) * shape.headDim)
  }
}
