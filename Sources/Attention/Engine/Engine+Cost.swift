import AttentionCore
import CKernels
import Tensors

extension Engine {
  /// The closed-form cost of a pass over a pattern.
  ///
  /// A forward pair takes `2 (headDim + valueDim)` operations (one product each for the score and the weighted value),
  /// a backward pair `2 (3 headDim + 2 valueDim)`; workspace is that of one thread, with the best instruction set.
  /// bfloat16 inputs take half the bytes.
  /// - Parameters:
  ///   - pass: `decode` is one query row a head against the keys that the last row sees.
  ///   - neededPairs: what the definition asks for, over batch and query heads.
  ///   - cachedKeys: keys and values that a decoder must keep a sequence; `nil`: all.
  /// - Complexity: O(tiles + segments).
  public static func cost(
    of pass: PassKind, shape: AttentionShape, pattern: TilePattern, neededPairs: Double,
    cachedKeys: Int? = nil
  ) -> Cost {
    let visited = visitedPairs(shape: shape, pattern: pattern)
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    let keyRows = Double(shape.batch * shape.keyHeads * shape.keyLength)
    let (d, v) = (Double(shape.headDim), Double(shape.valueDim))
    let element = Double(shape.precision.byteCount)
    let forwardBytes = shape.inputBytes + 4 * rows * (v + 1)
    let state =
      element * Double(shape.keyHeads) * Double(min(cachedKeys ?? shape.keyLength, shape.keyLength)) * (d + v)
    switch pass {
    case .forward, .decode:
      let fraction = pass == .decode ? 1 / Double(shape.queryLength) : 1
      return Cost(
        flops: 2 * (d + v) * neededPairs * fraction, neededPairs: neededPairs * fraction,
        visitedPairs: visited * fraction, workspaceBytes: forwardWorkspace(shape: shape, pattern: pattern),
        inputOutputBytes: forwardBytes, stateBytes: state)
    case .backward:
      return Cost(
        flops: 2 * (3 * d + 2 * v) * neededPairs, neededPairs: neededPairs, visitedPairs: visited,
        workspaceBytes: backwardWorkspace(shape: shape, pattern: pattern),
        inputOutputBytes: forwardBytes + 4 * (rows * (d + v) + keyRows * (d + v)), stateBytes: state)
    }
  }

  /// Pairs that the tiles visit, over batch and query heads.
  public static func visitedPairs(shape: AttentionShape, pattern: TilePattern) -> Double {
    let perList = pattern.lists.map(\.visitedPairs)
    var sum = 0.0
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads { sum += perList[pattern.index(batch: batch, head: head)] }
    }
    return sum
  }

  /// The scratch of one thread over tiles that share no panels.
  static func scratchBytes(_ shape: AttentionShape, backward: Bool) -> Int {
    let context = ExecutionContext(threads: 1)
    return backward
      ? backwardScratchBytes(shape, in: context) * BackwardPlan.localGroup
      : forwardScratchBytes(shape, in: context)
  }

  private static func forwardWorkspace(shape: AttentionShape, pattern: TilePattern) -> Double {
    let plan = ForwardPlan(pattern: pattern, shape: shape)
    let tile = Double(forwardScratchBytes(shape, in: ExecutionContext(threads: 1)))
    let parts =
      (0..<plan.waveCount).map { WaveWork(plan: plan, shape: shape, wave: $0).parts.count }.max() ?? 0
    return tile * Double(plan.tilesAtOnce) + Double(parts * Int(ATTN_LANES) * (shape.valueDim + 1) * 4)
  }

  private static func backwardWorkspace(shape: AttentionShape, pattern: TilePattern) -> Double {
    let plan = BackwardPlan(pattern: pattern, shape: shape)
    let tile = Double(backwardScratchBytes(shape, in: ExecutionContext(threads: 1)))
    let copy = BackwardPlan.blockKeys * (shape.headDim + shape.valueDim)
    return tile * Double(plan.group) + 4 * Double(plan.copyCount * copy)
      + 4 * Double(plan.parts.count * Int(ATTN_LANES) * shape.headDim)
  }
}
