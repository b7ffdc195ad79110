import AttentionCore
import Tensors

@testable import Attention

/// A pass in steps instead of seconds, for numbers of threads that no machine here has.
///
/// A step is one lane of a query tile times one key. Pieces of work are handed out as the engine hands them out: in order, each to the first
/// worker that is free; a piece waits for what the engine lets it wait for. What a piece costs besides its pairs, bandwidth and caches that
/// threads share are left out, so a speed-up is the most that this division of the work allows.
struct WorkModel {
  /// A piece of work, or a part of one that waits anew.
  struct Part {
    /// Which counters must be reached before it begins, by the parts that were handed out earlier.
    var waits: [Int] = []
    /// Which counters it raises when it ends.
    var done: [Int] = []
    var cost: Double
  }

  private(set) var itemCount = 0
  private(set) var longest = 0.0
  private(set) var total = 0.0
  private var free: [Double]
  private var reached: [Int: Double] = [:]

  init(threads: Int) { free = [Double](repeating: 0, count: threads) }

  /// Hands out a piece to the first worker that is free.
  mutating func add(_ parts: [Part]) {
    guard let worker = free.indices.min(by: { free[$0] < free[$1] }) else { return }
    var time = free[worker], cost = 0.0
    for part in parts {
      for wait in part.waits { time = max(time, reached[wait] ?? 0) }
      time += part.cost
      cost += part.cost
      for done in part.done { reached[done] = max(reached[done] ?? 0, time) }
    }
    free[worker] = time
    (itemCount, longest, total) = (itemCount + 1, max(longest, cost), total + cost)
  }

  /// All workers wait for the last one.
  mutating func join() { free = [Double](repeating: span, count: free.count) }

  /// The steps from the beginning to the end.
  var span: Double { free.max() ?? 0 }
  /// How many times as fast as one thread.
  var speedUp: Double { total / span }
}

extension WorkModel {
  /// A forward pass.
  static func forward(_ pattern: TilePattern, _ shape: AttentionShape, threads: Int) -> WorkModel {
    let context = ExecutionContext(threads: threads)
    let schedule = Engine.forwardSchedule(of: pattern, for: shape, in: context)
    let costs = pattern.lists.map(TileCosts.init)
    var model = WorkModel(threads: threads)
    func cost(_ group: PhaseWork.Group) -> Double {
      let own = costs[pattern.index(batch: group.batch, head: group.head)]
      return (0..<group.count).reduce(0) { $0 + own.cost(group.tile($1)) }
    }
    let works = schedule.works
    if let order = Engine.phaseOrder(of: pattern, schedule, for: shape, in: context) {
      for head in 0..<order.wholeHeads {
        model.add(
          works.map { work in Part(cost: work.groups(ofHead: head).reduce(0) { $0 + cost(work.group($1)) }) })
      }
      let heads = order.sharedHeads.count
      for step in order.steps {
        let own = step.phase * heads + step.head - order.wholeHeads
        model.add([
          Part(
            waits: step.phase > 0 ? [own - heads] : [], done: [own],
            cost: cost(works[step.phase].group(step.group)))
        ])
      }
      return model
    }
    for work in works {
      for split in work.kvSplits {
        let own = costs[pattern.index(batch: split.batch, head: split.head)]
        model.add([Part(cost: own.cost(split.tile) / Double(split.count))])
      }
      for item in 0..<work.itemCount - work.kvSplits.count { model.add([Part(cost: cost(work.group(item)))]) }
      model.join()
    }
    return model
  }

  /// A backward pass.
  static func backward(_ pattern: TilePattern, _ shape: AttentionShape, threads: Int) -> WorkModel {
    let context = ExecutionContext(threads: threads)
    let plan = Engine.backwardPlan(of: pattern, for: shape, in: context)
    let costs = pattern.lists.map(TileCosts.init)
    func cost(_ elements: some Sequence<BackwardPlan.Element>, _ batch: Int) -> Double {
      elements.reduce(0) {
        $0 + costs[pattern.index(batch: batch, head: Int($1.head))].cost(Int($1.tile)) / Double($1.splits)
      }
    }
    var model = WorkModel(threads: threads)
    if let pipeline = plan.pipeline,
      let stripes = Engine.rowStripes(of: pattern, plan, for: shape, in: context)
    {
      for stripe in stripes.stripes { model.add(parts(of: stripe, pipeline, pattern, shape)) }
    } else if let colours = plan.colours {
      let whole = colours.wholeGroups(threads: threads)
      for group in colours.groups[..<whole] {
        model.add(group.colours.map { Part(cost: cost($0.elements, group.batch)) })
      }
      for step in colours.steps(whole..<colours.groups.count, abreast: max(2, threads), size: plan.group) {
        let group = colours.groups[step.group], colour = group.colours[step.colour]
        let cost = cost(colour.elements[step.elements], group.batch)
        if colours.isGathered {
          let own = step.group * 64 + step.colour
          model.add([Part(waits: step.colour > 0 ? [own - 1] : [], done: [own], cost: cost)])
        } else {
          let places = group.waits(step.colour, run: step.run)
            .map { step.group * colours.countersPerGroup + Int($0.place) }
          model.add([Part(waits: places, done: places, cost: cost)])
        }
      }
    } else {
      for phase in 0..<plan.phaseCount {
        for unit in plan.units { model.add([Part(cost: cost(unit.phases[phase], unit.batch))]) }
        if plan.unitsPerHead > 1 { model.join() }
      }
    }
    return model
  }

  /// A row stripe, KV block by KV block, each after all earlier stripes have left it.
  private static func parts(
    of stripe: BackwardPipeline.RowStripe, _ pipeline: BackwardPipeline, _ pattern: TilePattern,
    _ shape: AttentionShape
  ) -> [Part] {
    let list = pattern.list(batch: stripe.batch, head: stripe.head)
    return stripe.keyBlocks.compactMap { block in
      let keys = pipeline.keys(ofKeyBlock: block, keyLength: shape.keyLength)
      var cost = 0.0
      for tile in list.tiles[stripe.tiles] {
        let seen = list.segments(of: tile).reduce(0) { $0 + $1.places(in: keys).count }
        cost += Double(seen) * TileCosts.lanes(Int(tile.count))
      }
      let own = stripe.group * pipeline.keyBlockCount + block
      return cost > 0 ? Part(waits: [own], done: [own], cost: cost) : nil
    }
  }
}
