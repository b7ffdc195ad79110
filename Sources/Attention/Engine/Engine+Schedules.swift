import AttentionCore
import Tensors

/// What a forward pass does: the plan, the work of every phase, and how one query row a head is done otherwise.
struct ForwardSchedule: Schedule {
  let plan: ForwardPlan
  let works: [PhaseWork]
  /// Where the heads of a group become the rows of one tile.
  let decode: SharedDecode?
  /// Whether workers take the phases of every head from one queue (`PhaseOrder`): not where there is but one phase whose
  /// tiles are runs of rows, nor where tiles are split along their keys.
  let isQueued: Bool

  init(pattern: TilePattern, shape: AttentionShape, choices: ProcessorChoices) {
    decode = SharedDecode(shape: shape, pattern: pattern)
    let plan = ForwardPlan(pattern: pattern, shape: shape, choices: choices)
    self.plan = plan
    works = (0..<plan.phaseCount).map { PhaseWork(plan: plan, shape: shape, phase: $0) }
    isQueued = (plan.phaseCount > 1 || plan.scattersRows) && works.allSatisfy(\.kvSplits.isEmpty)
  }

  var byteCount: Int {
    plan.byteCount + works.reduce(0) { $0 + $1.byteCount } + (decode?.pattern.byteCount ?? 0)
  }
}

extension Engine {
  /// Plans a pass over a pattern in a context: what `forward` or `backward` would else work out when it begins. It is kept
  /// beside the pattern and counted in the context's ledger, with the pattern, unless somebody else counts that.
  ///
  /// A variant that calls the engine with a shape of its own making calls this from its `prepare`.
  /// - Parameters:
  ///   - pattern: the tiles of the pairs that count.
  ///   - pass: what is planned.
  ///   - shape: the sizes, causality and padding.
  ///   - staged: whether scores are more than products, which are computed in float32, heads apart.
  ///   - context: threads and ledger.
  /// - Throws: `MemoryLimitExceeded`.
  public static func prepare(
    _ pattern: TilePattern, for pass: PassKind, shape: AttentionShape, staged: Bool = false,
    in context: ExecutionContext
  ) throws(MemoryLimitExceeded) {
    try pattern.count(in: context.ledger)
    let shape = staged ? shape.with(precision: .float32) : shape
    if pass == .backward {
      let plan = backwardPlan(of: pattern, for: shape, in: context)
      _ = rowStripes(of: pattern, plan, for: shape, in: context)
      return
    }
    let schedule = forwardSchedule(of: pattern, for: shape, in: context)
    if !staged, let decode = schedule.decode {
      return try prepare(decode.pattern, for: pass, shape: decode.shape, in: context)
    }
    _ = phaseOrder(of: pattern, schedule, for: shape, in: context)
  }

  /// The forward schedule of a pattern, made once.
  static func forwardSchedule(
    of pattern: TilePattern, for shape: AttentionShape, in context: ExecutionContext
  ) -> ForwardSchedule {
    pattern.schedules.schedule(for: shape, choices: context.choices) {
      ForwardSchedule(pattern: pattern.withoutSchedules, shape: $0, choices: context.choices)
    }
  }

  /// The order of the steps of a forward pass for a number of threads, made once; `nil` where there is no queue.
  static func phaseOrder(
    of pattern: TilePattern, _ schedule: ForwardSchedule, for shape: AttentionShape,
    in context: ExecutionContext
  ) -> PhaseOrder? {
    guard schedule.isQueued else { return nil }
    return pattern.schedules.schedule(for: shape, threads: context.threads, choices: context.choices) {
      PhaseOrder(schedule.works, heads: $0.batch * $0.queryHeads, threads: context.threads)
    }
  }

  /// The backward plan of a pattern, made once.
  static func backwardPlan(
    of pattern: TilePattern, for shape: AttentionShape, in context: ExecutionContext
  ) -> BackwardPlan {
    pattern.schedules.schedule(for: shape, choices: context.choices) {
      BackwardPlan(
        pattern: pattern.withoutSchedules, shape: $0, choices: context.choices, threads: context.threads)
    }
  }

  /// The row stripes of a dense backward pass for a number of threads, made once; `nil` where there is no pipeline.
  static func rowStripes(
    of pattern: TilePattern, _ plan: BackwardPlan, for shape: AttentionShape, in context: ExecutionContext
  ) -> RowStripes? {
    guard let pipeline = plan.pipeline else { return nil }
    return pattern.schedules.schedule(for: shape, threads: context.threads, choices: context.choices) {
      RowStripes(pipeline, limit: plan.group, pattern: pattern, shape: $0, threads: context.threads)
    }
  }
}

extension ForwardPlan {
  var byteCount: Int {
    lists.reduce(0) { sum, list in
      list.phases.reduce(sum) {
        $0 + ($1.tiles?.count ?? 0) * MemoryLayout<Int32>.stride
          + $1.splitTiles.count * MemoryLayout<SplitTile>.stride
      }
    }
  }
}

extension BackwardPlan: Schedule {
  var byteCount: Int {
    let index = MemoryLayout<Int32>.stride, element = MemoryLayout<Element>.stride
    let inUnits = units.reduce(0) { sum, unit in
      sum + (unit.accumulators.count + unit.owned.count) * index
        + unit.phases.reduce(0) { $0 + $1.count * element }
    }
    return inUnits + (colours?.byteCount ?? 0) + partials.count * (element + MemoryLayout<Int>.stride)
  }
}
