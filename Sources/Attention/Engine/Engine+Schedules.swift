import AttentionCore

/// What a forward pass does: the plan, the work of every phase, and how one query row a head is done otherwise.
struct ForwardSchedule: Schedule {
  let plan: ForwardPlan
  let works: [PhaseWork]
  /// Where the heads of a group become the rows of one tile.
  let decode: SharedDecode?

  init(pattern: TilePattern, shape: AttentionShape) {
    decode = SharedDecode(shape: shape, pattern: pattern)
    let plan = ForwardPlan(pattern: pattern, shape: shape)
    self.plan = plan
    works = (0..<plan.phaseCount).map { PhaseWork(plan: plan, shape: shape, phase: $0) }
  }

  var byteCount: Int {
    plan.byteCount + works.reduce(0) { $0 + $1.byteCount } + (decode?.pattern.byteCount ?? 0)
  }
}

extension Engine {
  /// The forward schedule of a pattern, made once.
  static func forwardSchedule(of pattern: TilePattern, for shape: AttentionShape) -> ForwardSchedule {
    pattern.schedules.schedule(for: shape) {
      ForwardSchedule(pattern: pattern.withoutSchedules, shape: $0)
    }
  }

  /// The backward plan of a pattern, made once.
  static func backwardPlan(of pattern: TilePattern, for shape: AttentionShape) -> BackwardPlan {
    pattern.schedules.schedule(for: shape) {
      BackwardPlan(pattern: pattern.withoutSchedules, shape: $0)
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
    return inUnits + partials.count * (element + MemoryLayout<Int>.stride)
  }
}
