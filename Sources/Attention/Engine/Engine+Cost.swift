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
      workspaceBytes: Double(workspaceBytes(of: pass, shape: shape, pattern: pattern)), stateBytes: stateBytes
    )
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
      ? backwardScratchBytes(shape, in: context) * context.choices.localBackwardTiles
      : forwardScratchBytes(shape, in: context)
  }

  /// What a pass over products allocates beyond its results, to the byte: what its ledger counts.
  /// - Parameters:
  ///   - pass: forward, backward or one decoding step.
  ///   - shape: the sizes.
  ///   - pattern: the tiles of the pairs that count.
  ///   - context: threads and instruction set.
  /// - Complexity: O(tiles + segments), once for a pattern.
  static func workspaceBytes(
    of pass: PassKind, shape: AttentionShape, pattern: TilePattern,
    in context: ExecutionContext = ExecutionContext(threads: 1)
  ) -> Int {
    pass == .backward
      ? backwardWorkspace(shape, pattern, context) : forwardWorkspace(shape, pattern, context)
  }

  /// Scratch in whole cache lines, as a worker gets it.
  static func lines(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

  private static func forwardWorkspace(
    _ shape: AttentionShape, _ pattern: TilePattern, _ context: ExecutionContext
  ) -> Int {
    let schedule = forwardSchedule(of: pattern, for: shape, in: context)
    let worker = lines(forwardScratchBytes(shape, in: context)) * schedule.plan.tilesAtOnce
    if let order = phaseOrder(of: pattern, schedule, for: shape, in: context) {
      return context.threads * worker
        + PhaseQueue.counterCount(order, schedule.works) * ProgressCounters.bytesEach
    }
    let partial = Int(ATTN_LANES) * (shape.valueDim + 1) * MemoryLayout<Float>.stride
    let shared = sharedBytes(sharedKeys(schedule.plan, shape, in: context), shape, in: context)
    return schedule.works.map {
      min(context.threads, max(1, $0.itemCount)) * (worker + shared) + $0.kvSplits.count * partial
    }.max() ?? 0
  }

  private static func backwardWorkspace(
    _ shape: AttentionShape, _ pattern: TilePattern, _ context: ExecutionContext
  ) -> Int {
    let plan = backwardPlan(of: pattern, for: shape, in: context)
    let stripes = rowStripes(of: pattern, plan, for: shape, in: context)
    let tile = lines(backwardScratchBytes(shape, in: context))
    let sums = BackwardPlan.blockKeys * (shape.headDim + shape.valueDim) * plan.accumulatorCount
    let partials = plan.partials.count * Int(ATTN_LANES) * shape.headDim
    let floats = (sums + partials) * MemoryLayout<Float>.stride
    let pointer = MemoryLayout<UnsafeMutablePointer<Float>>.stride
    if let pipeline = plan.pipeline, let stripes {
      let groups = shape.batch * shape.keyHeads
      let tables = 2 * groups * BackwardPlan.blockCount(keyLength: shape.keyLength) * pointer
      return floats + min(context.threads, max(1, stripes.stripes.count)) * stripes.tiles * tile + tables
        + groups * pipeline.keyBlockCount + stripes.stripes.count * ProgressCounters.bytesEach
    }
    let keyBlocks = BackwardPlan.blockCount(keyLength: shape.keyLength)
    if let colours = plan.colours {
      let whole = colours.wholeGroups(threads: context.threads), shared = whole..<colours.groups.count
      let steps = colours.steps(shared, abreast: max(2, context.threads), size: plan.group).count
      let workers = BackwardPass.workers(colours, steps: steps, threads: context.threads)
      let own = plan.group * (tile + 2 * keyBlocks * pointer + MemoryLayout<Int>.stride)
      return floats + workers * own + colours.groups.count * keyBlocks
        + colours.counterCount(shared) * ProgressCounters.bytesEach
    }
    let workers = min(context.threads, max(1, plan.units.count))
    let blocks = plan.units.first?.accumulators.count ?? 0
    return floats + workers * (plan.group * tile + 2 * blocks * pointer) + plan.units.count * blocks
  }
}
