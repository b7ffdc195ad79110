import AttentionCore
import CKernels
import Tensors

/// What a backward pass does in which order: fixed by pattern and shape, never by the number of threads.
///
/// Where rows see many of the keys, the work is a `BackwardPipeline`, and every gradient is added to in place.
///
/// Elsewhere the tiles of all query heads that share a key head are divided, in order, into *units* of equal cost. A unit
/// adds to the gradients of keys and values in blocks of 64 rows. *Owner computes*: the first unit to touch a block adds to
/// the result itself. Every later one has a *privatised accumulator* for it; these are added in the order of units. So memory
/// beyond the results is the overlap of the units only: next to nothing for local patterns,
/// `(units − 1) · n · (headDim + valueDim)` where every unit meets keys from everywhere.
struct BackwardPlan: Sendable {
  /// A tile, or a KV split of one.
  struct Element: Sendable {
    var head: Int32, tile: Int32
    var split: Int32 = 0, splits: Int32 = 1
    /// The number of the KV split's partial query gradient; −1 for whole tiles.
    var partial: Int32 = -1
    /// Its number among those of its (batch, key head), or that of its run (`BackwardColours`).
    var slot: Int32 = 0
  }
  /// What a plan is made of.
  typealias Sources = (
    pattern: TilePattern, shape: AttentionShape, costs: [TileCosts], phases: [TilePhases], splitKeys: Int
  )
  /// An element on its way into a plan.
  typealias PlacedElement = (element: Element, cost: Double, phase: Int, place: Double)
  /// A share of the work of a (batch, key head), done by one worker at a time.
  struct Unit: Sendable {
    var batch: Int, keyHead: Int
    /// Elements of every phase, in order.
    var phases: [[Element]]
    /// For every 64-key block: its privatised accumulator, or −1 when the unit adds to the result itself.
    var accumulators: [Int32]
    /// Blocks of the result that this unit clears before it adds to them, or at its end.
    var owned: [Int32]
  }

  /// How a dense pass goes, which has no units.
  let pipeline: BackwardPipeline?
  /// How a pass goes whose keys come from everywhere, which has no units either.
  let colours: BackwardColours?
  let units: [Unit]
  let phaseCount: Int
  /// Privatised accumulators of key blocks, over all units.
  let accumulatorCount: Int
  /// KV splits, whose partial query gradients are added in this order.
  let partials: [(batch: Int, element: Element)]
  let unitsPerHead: Int
  /// Tiles that share KV blocks, at most.
  let group: Int
  /// Whether rows see so many keys that a KV block comes from far away, for the first tile of a group.
  let sharesKeyBlocks: Bool
  /// Whether every row of q is in a tile of the first phase, which writes what later ones add to.
  let firstCoversAllRows: Bool

  init(pattern: TilePattern, shape: AttentionShape, choices: ProcessorChoices, threads: Int = 1) {
    let costs = pattern.lists.map(TileCosts.init)
    let phases = pattern.lists.map { TilePhases($0, queryLength: shape.queryLength) }
    firstCoversAllRows = phases.allSatisfy(\.firstCoversAllRows)
    sharesKeyBlocks = ForwardPlan.hasLongRows(pattern, costs, localKeys: choices.localKeys)
    let limit = sharesKeyBlocks ? choices.backwardTiles : choices.localBackwardTiles
    if let pipeline = BackwardPipeline(
      pattern: pattern, shape: shape, costs: costs, phases: phases, choices: choices)
    {
      self.pipeline = pipeline
      group = pipeline.stripeTiles(limit: limit, heads: shape.batch * shape.keyHeads, threads: 1)
      (units, unitsPerHead, phaseCount, accumulatorCount, partials, colours) = ([], 0, 1, 0, [], nil)
      return
    }
    pipeline = nil
    let fewest = BackwardPlan.unitsPerHead(heads: shape.batch * shape.keyHeads, keyLength: shape.keyLength)
    let sources = (pattern: pattern, shape: shape, costs: costs, phases: phases, splitKeys: choices.splitKeys)
    let wide = Builder.widest(sources, fewest: fewest)
    if wide == nil, let colours = BackwardColours(sources, threads: threads) {
      self.colours = colours
      (units, unitsPerHead, phaseCount) = ([], 0, phases.map(\.count).max() ?? 1)
      (accumulatorCount, partials) = (colours.accumulatorCount, colours.partials)
      group = limit
      return
    }
    let builder = wide ?? Builder.few(sources, fewest)
    colours = nil
    unitsPerHead = builder.unitsPerHead
    units = builder.units
    phaseCount = builder.phaseCount
    accumulatorCount = builder.accumulatorCount
    partials = builder.partials
    group = max(1, min(limit, units.reduce(0) { max($0, $1.phases.map(\.count).max() ?? 0) }))
  }

  /// Units of every (batch, key head), at least: as many at every length but the shortest, so that workspace is proportional
  /// to n.
  static func unitsPerHead(heads: Int, keyLength: Int) -> Int {
    let wanted = max(1, min(8, keyLength / blockKeys))
    return max(1, (wanted + heads - 1) / heads)
  }

  /// Keys of a KV block, whole blocks of the kernel: K, V and their gradients take what is chosen of the second-level cache.
  static func keyBlockSize(_ shape: AttentionShape, _ choices: ProcessorChoices) -> Int {
    let fitting = choices.kvBlockBytes / (2 * MemoryLayout<Float>.stride * (shape.headDim + shape.valueDim))
    return max(1, fitting / Int(ATTN_BLOCK)) * Int(ATTN_BLOCK)
  }

  /// Keys of a block of the gradients of keys and values.
  static let blockKeys = 64

  static func blockCount(keyLength: Int) -> Int { (keyLength + blockKeys - 1) / blockKeys }
}

extension TilePattern {
  /// Whether some segment's keys are gathered.
  var gathersKeys: Bool { lists.contains { $0.segments.contains { $0.stride == 0 } } }
}

extension BackwardPlan {
  /// The cost of a whole pass: lanes times keys.
  static func passTotal(pattern: TilePattern, shape: AttentionShape, costs: [TileCosts]) -> Double {
    var total = 0.0
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads { total += costs[pattern.index(batch: batch, head: head)].total }
    }
    return total
  }

  /// The tiles and KV splits of a (batch, key head) in order.
  static func elements(
    batch: Int, keyHead: Int, pattern: TilePattern, shape: AttentionShape, costs: [TileCosts],
    phases: [TilePhases], passTotal: Double, splitKeys: Int, grain: Double = ForwardPlan.grain,
    partials: inout [(batch: Int, element: Element)]
  ) -> [PlacedElement] {
    var elements: [PlacedElement] = []
    for member in 0..<shape.groupSize {
      let head = keyHead * shape.groupSize + member
      let index = pattern.index(batch: batch, head: head)
      let list = pattern.lists[index]
      let tiles = Double(max(1, list.tiles.count))
      for tile in list.tiles.indices {
        let cost = costs[index].cost(tile)
        let count = ForwardPlan.kvSplits(
          keys: costs[index].keys[tile], cost: cost, passTotal: passTotal, splitKeys: splitKeys,
          grain: grain)
        let phase = phases[index].phase(tile)
        if count == 1 {
          let element = Element(head: Int32(head), tile: Int32(tile))
          elements.append((element, cost, phase, Double(member) + Double(tile) / tiles))
          continue
        }
        // A KV split sits among the tiles near its keys, so that its unit's blocks are those that it touches anyway.
        for split in 0..<count {
          let element = Element(
            head: Int32(head), tile: Int32(tile), split: Int32(split), splits: Int32(count),
            partial: Int32(partials.count))
          partials.append((batch, element))
          let place = Double(member) + (Double(split) + 0.5) / Double(count)
          elements.append((element, cost / Double(count), phase, place))
        }
      }
    }
    let inOrder = zip(elements, elements.dropFirst()).allSatisfy { $0.place <= $1.place }
    if !inOrder { elements.sort { ($0.place, $0.element.partial) < ($1.place, $1.element.partial) } }
    for index in elements.indices { elements[index].element.slot = Int32(index) }
    return elements
  }
}

extension BackwardPlan {
  private struct Builder {
    let phaseCount: Int
    let unitsPerHead: Int
    var units: [Unit] = []
    var accumulatorCount = 0
    var partials: [(batch: Int, element: Element)] = []

    /// As many units as 64 threads want, or half of that, and so on, as long as their accumulators hold no more than an eighth of
    /// the gradients; `nil`: even `fewest` need more, where that is not as many.
    static func widest(_ sources: Sources, fewest: Int) -> Builder? {
      let heads = sources.shape.batch * sources.shape.keyHeads
      let blocks = blockCount(keyLength: sources.shape.keyLength)
      let most = max(fewest, min((64 + heads - 1) / heads, blocks))
      if most == fewest { return few(sources, fewest) }
      // Gathered keys come from everywhere.
      var count = sources.pattern.gathersKeys ? fewest : most
      while count > fewest {
        if let builder = Builder(sources, unitsPerHead: count, accumulatorLimit: heads * blocks / 8) {
          return builder
        }
        count /= 2
      }
      return nil
    }

    /// Units whatever their accumulators.
    static func few(_ sources: Sources, _ count: Int) -> Builder {
      guard let builder = Builder(sources, unitsPerHead: count, accumulatorLimit: .max) else {
        preconditionFailure("a plan without a limit of accumulators is always made")
      }
      return builder
    }

    /// Makes the units of all heads; `nil` when they need more than `accumulatorLimit` privatised accumulators.
    private init?(_ sources: Sources, unitsPerHead: Int, accumulatorLimit: Int) {
      let (pattern, shape, costs, phases, splitKeys) = sources
      self.unitsPerHead = unitsPerHead
      phaseCount = max(1, phases.map(\.count).max() ?? 1)
      let total = BackwardPlan.passTotal(pattern: pattern, shape: shape, costs: costs)
      for batch in 0..<shape.batch {
        for keyHead in 0..<shape.keyHeads {
          addHead(
            batch: batch, keyHead: keyHead, pattern: pattern, shape: shape, costs: costs, phases: phases,
            passTotal: total, splitKeys: splitKeys)
          if accumulatorCount > accumulatorLimit { return nil }
        }
      }
    }

    private mutating func addHead(
      batch: Int, keyHead: Int, pattern: TilePattern, shape: AttentionShape, costs: [TileCosts],
      phases: [TilePhases], passTotal: Double, splitKeys: Int
    ) {
      let unitCount = unitsPerHead
      let elements = BackwardPlan.elements(
        batch: batch, keyHead: keyHead, pattern: pattern, shape: shape, costs: costs, phases: phases,
        passTotal: passTotal, splitKeys: splitKeys, partials: &partials)
      let total = elements.reduce(0) { $0 + $1.cost }
      let first = units.count
      let blocks = blockCount(keyLength: shape.keyLength)
      for _ in 0..<unitCount {
        units.append(
          Unit(
            batch: batch, keyHead: keyHead, phases: Array(repeating: [], count: phaseCount),
            accumulators: Array(repeating: -1, count: blocks), owned: []))
      }
      var sum = 0.0
      for (element, cost, phase, _) in elements {
        let share = total > 0 ? Int((sum + cost / 2) / total * Double(unitCount)) : 0
        units[first + min(unitCount - 1, share)].phases[phase].append(element)
        sum += cost
      }
      assignBlocks(first..<first + unitCount, blocks: blocks, pattern: pattern)
    }

    /// Gives every block an owner, and a privatised accumulator to every later unit that touches it.
    private mutating func assignBlocks(_ range: Range<Int>, blocks: Int, pattern: TilePattern) {
      if range.count == 1 {
        units[range.lowerBound].owned = (0..<Int32(blocks)).map { $0 }
        return
      }
      var owner = [Int](repeating: -1, count: blocks)
      for index in range {
        let touched = touchedBlocks(units[index], blocks: blocks, pattern: pattern)
        for block in 0..<blocks where touched[block] {
          if owner[block] < 0 {
            owner[block] = index
          } else {
            units[index].accumulators[block] = Int32(accumulatorCount)
            accumulatorCount += 1
          }
        }
      }
      for block in 0..<blocks { units[max(range.lowerBound, owner[block])].owned.append(Int32(block)) }
    }

    private func touchedBlocks(_ unit: Unit, blocks: Int, pattern: TilePattern) -> [Bool] {
      var touched = [Bool](repeating: false, count: blocks)
      var dense = 0..<0
      for element in unit.phases.joined() {
        let list = pattern.list(batch: unit.batch, head: Int(element.head))
        let tile = list.tiles[Int(element.tile)]
        for number in Int(tile.firstSegment)..<Int(tile.firstSegment + tile.segmentCount) {
          let segment = list.segments[number]
          if segment.stride == 0 {
            for t in 0..<Int(segment.count) {
              let block = Int(list.keyIndices[Int(segment.start) + t]) / blockKeys
              if block < blocks { touched[block] = true }
            }
          } else {
            let last = Int(segment.start) + (Int(segment.count) - 1) * Int(segment.stride)
            let run = Int(segment.start) / blockKeys..<min(blocks, last / blockKeys + 1)
            // Long runs repeat from tile to tile; what the previous one marked is not marked again.
            if dense.lowerBound <= run.lowerBound && run.upperBound <= dense.upperBound { continue }
            let from = dense.contains(run.lowerBound) ? dense.upperBound : run.lowerBound
            for block in from..<max(from, run.upperBound) { touched[block] = true }
            dense = dense.contains(run.lowerBound) ? dense.lowerBound..<run.upperBound : run
          }
        }
      }
      return touched
    }
  }
}
