import AttentionCore
import Basics

/// How a backward pass is divided where keys come from everywhere (LSH, random blocks): so that any number of threads can share a
/// head, and no gradient has an accumulator for each of them.
///
/// Two tiles that see a key in common add to the same gradient. The tiles of a conflict-free phase are therefore *coloured*: no two of a
/// colour have a key in common (a block of 64 keys, where keys are not gathered). A colour's tiles may run at once, in any order;
/// colours follow one another, or, where keys are not gathered, a run waits for those alone that add to a block of its own before it. Where
/// neighbouring tiles share keys, a run of them is coloured as one tile. The gradient of a key is the sum over colours in order, whatever
/// the number of threads.
///
/// A block that many tiles see (global keys) would need as many colours. It is a *hot* block and has copies, of which a tile uses the one of
/// its run modulo their count: privatised accumulators, an eighth of the tiles each, added at the end in their order.
struct BackwardColours: Sendable {
  typealias Element = BackwardPlan.Element

  /// Elements that may run at once.
  struct Colour: Sendable {
    /// The conflict-free phase of their rows.
    var phase: Int
    var elements: [Element]
    /// The first element of every run.
    var runs: [Int] = []
    /// The number of its first run among those of its (batch, key head).
    var first = 0
    var cost = 0.0

    /// The elements of a run.
    func elements(ofRun run: Int) -> Range<Int> {
      runs[run]..<(run + 1 < runs.count ? runs[run + 1] : elements.count)
    }
  }
  /// A block of 64 keys with copies: the first is the result itself.
  struct HotBlock: Sendable {
    var block: Int, copies: Int
    /// The accumulator of the second copy; the others follow.
    var firstAccumulator: Int
  }
  /// The work of a (batch, key head).
  struct Group: Sendable {
    var batch: Int, keyHead: Int
    var colours: [Colour] = []
    var hot: [HotBlock] = []
    /// Where keys are not gathered, what every run waits for, in order: places (blocks of keys, and copies of hot ones), and how many
    /// earlier runs add to each.
    var waits: [Wait] = []
    /// The first wait of every run, and the end.
    var firstWaits: [Int] = [0]
    var placeCount = 0

    /// What a run of a colour waits for.
    func waits(_ colour: Int, run: Int) -> ArraySlice<Wait> {
      let number = colours[colour].first + run
      return waits[firstWaits[number]..<firstWaits[number + 1]]
    }
  }
  /// A run may begin when so many others are done with a place.
  struct Wait: Sendable {
    var place: Int32, count: Int32
  }

  let groups: [Group]
  let accumulatorCount: Int
  let partials: [(batch: Int, element: Element)]
  /// Neighbouring tiles that are coloured as one, at most, so that keys which they share stay near: their number changes the order of
  /// sums, so it follows from the shape alone.
  let runLength: Int
  /// Whether keys are gathered: then tiles of a colour may share a block of keys, though no key.
  let isGathered: Bool

  /// Tiles that use one copy of a hot block, at most.
  static let tilesPerCopy = 8
  /// A block that more tiles than this see is hot.
  static let hotTiles = 24
  /// Tiles of a run, at most, where there are many.
  static let longestRun = 8
  /// Pieces of a phase below which runs are shorter.
  static let piecesOfPhase = 64
  /// Rows that see all keys are cut to about the length of other tiles: a colour lasts as long as its longest.
  static let splitKeys = 512
  /// The part of a pass that a split has, at least: one of so many.
  static let grain = 256.0
  /// Copies take at most a quarter of the gradients of keys and values.
  static let copyShare = 4
  /// Fewer blocks of keys than this are left to units.
  static let leastBlocks = 16
  /// From so many (batch, key head) on a head is one unit, which needs no accumulator: colours of gathered keys are 0 to 4 % slower there on
  /// two threads.
  static let mostHeads = 8
  /// The same where keys are not gathered: units would be 64 in all.
  static let mostScatteredHeads = 64

  /// - Returns: `nil` where units serve better: few keys or many heads, or more colours or copies than there is room for.
  init?(_ sources: BackwardPlan.Sources, threads: Int) {
    let (pattern, shape, costs, phases, splitKeys) = sources
    let blocks = BackwardPlan.blockCount(keyLength: shape.keyLength), heads = shape.batch * shape.keyHeads
    let gathered = pattern.gathersKeys
    // Blocks that rows choose are seen by the tiles of many phases, with few keys each: units have less to wait for. Where neighbouring
    // tiles share keys, units keep what is shared near.
    let few = gathered || heads == 1
    guard Self.serves(heads: few ? heads : 1, keyLength: shape.keyLength), heads < Self.mostScatteredHeads,
      gathered
        || (phases.allSatisfy({ $0.count <= 1 })
          && Self.isScattered(pattern, segments: heads == 1 ? 3 : Self.segmentsOfSeveral))
    else { return nil }
    let passTotal = BackwardPlan.passTotal(pattern: pattern, shape: shape, costs: costs)
    var partials: [(batch: Int, element: Element)] = []
    // Low tiles go together, as many as have the rows of a whole one.
    let low = gathered ? 1 : pattern.lists.map { $0.tiles(ofRows: TileList.lanes) }.min() ?? 1
    let all = (0..<heads).map { head in
      BackwardPlan.elements(
        batch: head / shape.keyHeads, keyHead: head % shape.keyHeads, pattern: pattern, shape: shape,
        costs: costs, phases: phases, passTotal: passTotal, splitKeys: gathered ? splitKeys : Self.splitKeys,
        grain: gathered ? ForwardPlan.grain : Self.grain,
        partials: &partials)
    }
    let cells = gathered ? shape.keyLength : blocks, size = gathered ? 1 : BackwardPlan.blockKeys
    let tiles = all.reduce(0) { $0 + $1.count } / max(1, phases.map(\.count).max() ?? 1)
    let runs =
      gathered
      ? [max(1, min(Self.longestRun, tiles / Self.piecesOfPhase))] : Self.runs(heads: heads).map { $0 * low }
    func made(_ run: Int) -> [Group?] {
      Parallel.map(count: heads, threads: threads) { head -> Group? in
        let colouring = Colouring(
          pattern: pattern, batch: head / shape.keyHeads, cells: cells, size: size, runLength: run,
          low: low)
        return colouring.group(all[head], keyHead: head % shape.keyHeads)
      }
    }
    func isEnough(_ groups: [Group], _ run: Int) -> Bool {
      let least = heads == 1 ? Self.breadthOfOne : Self.leastBreadth
      return few && run == runs.last || Self.breadth(groups) >= least
    }
    guard let found = Self.first(runs, isEnough: isEnough, made) else { return nil }
    var groups = found.groups
    var accumulators = 0
    for group in groups.indices {
      for hot in groups[group].hot.indices {
        groups[group].hot[hot].firstAccumulator = accumulators
        accumulators += groups[group].hot[hot].copies - 1
      }
    }
    (self.groups, self.partials, accumulatorCount) = (groups, partials, accumulators)
    (isGathered, runLength) = (gathered, found.run)
  }

  /// Whether there are keys enough for colours, and too few (batch, key head) for a worker each.
  static func serves(heads: Int, keyLength: Int) -> Bool {
    BackwardPlan.blockCount(keyLength: keyLength) >= leastBlocks && heads < mostHeads
  }

  /// Bytes of the tables of one worker and the marks of all blocks.
  static func tableBytes(heads: Int, keyLength: Int, tiles: Int) -> Int {
    let blocks = BackwardPlan.blockCount(keyLength: keyLength), word = MemoryLayout<Int>.stride
    return tiles * (2 * blocks + 1) * word + heads * blocks
  }

  /// Elements of a group that a worker takes at once.
  struct Step: Sendable {
    var group: Int, colour: Int
    var elements: Range<Int>
    /// The number of its first run in the colour.
    var run = 0
  }

  /// The steps of some groups, `abreast` of them at a time, of at most `size` elements each.
  func steps(_ range: Range<Int>, abreast: Int, size: Int) -> [Step] {
    var steps: [Step] = []
    for first in stride(from: range.lowerBound, to: range.upperBound, by: abreast) {
      let some = first..<min(range.upperBound, first + abreast)
      for colour in 0..<(some.map { groups[$0].colours.count }.max() ?? 0) {
        for group in some where colour < groups[group].colours.count {
          steps += self.steps(group, colour, size: isGathered ? size : 1)
        }
      }
    }
    return steps
  }

  /// The steps of a colour: runs, or a few single elements each, which may be taken together as one likes.
  func steps(_ group: Int, _ colour: Int, size: Int) -> [Step] {
    let own = groups[group].colours[colour], count = own.elements.count
    if runLength > 1 {
      return own.runs.indices.map {
        Step(group: group, colour: colour, elements: own.elements(ofRun: $0), run: $0)
      }
    }
    return stride(from: 0, to: count, by: size).map {
      Step(group: group, colour: colour, elements: $0..<min(count, $0 + size), run: $0)
    }
  }

  /// By how many counters the workers of some groups follow each other.
  func counterCount(_ shared: Range<Int>) -> Int { shared.count * countersPerGroup }

  var countersPerGroup: Int { isGathered ? colourCount : groups.reduce(0) { max($0, $1.placeCount) } }

  /// How many groups workers take whole, before they share the others: all where that comes out even. What two workers add to one head goes
  /// from cache to cache.
  func wholeGroups(threads: Int) -> Int {
    groups.count % threads == 0 ? groups.count : max(0, groups.count / threads - 1) * threads
  }

  /// The most colours of a group.
  var colourCount: Int { groups.reduce(0) { max($0, $1.colours.count) } }

  /// Bytes that it holds, besides the partial results' list.
  var byteCount: Int {
    groups.reduce(0) { sum, group in
      group.colours.reduce(
        sum + group.hot.count * MemoryLayout<HotBlock>.stride + group.waits.count * MemoryLayout<Wait>.stride
      ) {
        $0 + $1.elements.count * (MemoryLayout<Element>.stride + MemoryLayout<Int>.stride)
      }
    }
  }
}

/// The colours of the elements of one (batch, key head).
private struct Colouring {
  typealias Placed = BackwardPlan.PlacedElement

  let pattern: TilePattern
  let batch: Int
  /// Keys or blocks of keys, and how many keys each has.
  let cells: Int, size: Int
  let runLength: Int
  /// Tiles that have the rows of a whole one.
  let low: Int

  /// The colours of elements, phase by phase; `nil`: copies or colours are more than there is room for.
  func group(_ elements: [Placed], keyHead: Int) -> BackwardColours.Group? {
    var group = BackwardColours.Group(batch: batch, keyHead: keyHead)
    var copies: [Int: (first: Int, count: Int)] = [:], places = cells
    if size > 1 {
      group.hot = hotBlocks(elements)
      for hot in group.hot {
        copies[hot.block] = (places, hot.copies)
        places += hot.copies
      }
      guard (places - cells - group.hot.count) * BackwardColours.copyShare <= cells else { return nil }
    }
    let phaseCount = 1 + (elements.map(\.phase).max() ?? 0)
    var byPhase = [[Placed]](repeating: [], count: phaseCount)
    // KV splits first: those of a tile have no key in common, and together they keep a colour from being long for one of them.
    for placed in elements where placed.element.partial >= 0 { byPhase[placed.phase].append(placed) }
    for placed in elements where placed.element.partial < 0 { byPhase[placed.phase].append(placed) }
    for phase in byPhase.indices {
      // The tiles of a run have one number.
      if runLength > 1 {
        for place in byPhase[phase].indices { byPhase[phase][place].element.slot = Int32(place / runLength) }
      }
      guard let colours = colours(byPhase[phase], phase: phase, copies, places) else { return nil }
      group.colours += colours
    }
    var first = 0
    for index in group.colours.indices {
      group.colours[index].first = first
      first += group.colours[index].runs.count
    }
    if size > 1 { addWaits(to: &group, copies, places) }
    return group
  }

  /// Notes what every run waits for, in the order of colours.
  private func addWaits(
    to group: inout BackwardColours.Group, _ copies: [Int: (first: Int, count: Int)], _ places: Int
  ) {
    var done = [Int32](repeating: 0, count: places), last = [Int](repeating: -1, count: places)
    group.placeCount = places
    var number = 0
    for colour in group.colours {
      for run in colour.runs.indices {
        var own: [BackwardColours.Wait] = []
        for element in colour.elements[colour.elements(ofRun: run)] {
          forEachPlace(element, copies) { place in
            if last[place] == number { return }
            last[place] = number
            own.append(.init(place: Int32(place), count: done[place]))
            done[place] += 1
          }
        }
        group.waits += own
        group.firstWaits.append(group.waits.count)
        number += 1
      }
    }
  }

  /// Calls `body` for every cell that an element sees, some of them perhaps twice.
  @inline(__always)
  private func forEachCell(_ element: BackwardPlan.Element, _ body: (Int) -> Void) {
    let list = pattern.list(batch: batch, head: Int(element.head))
    let tile = list.tiles[Int(element.tile)]
    // A KV split has a part of the tile's keys.
    let keys = element.splits > 1 ? list.keyCount(of: tile) : 0
    let from = keys * Int(element.split) / Int(element.splits)
    let to = element.splits > 1 ? keys * (Int(element.split) + 1) / Int(element.splits) : .max
    list.withTables { tables in
      var before = 0
      for segment in list.segments(of: tile) {
        let count = Int(segment.count), first = max(0, from - before), end = min(count, to - before)
        before += count
        if first >= end { continue }
        let start = Int(segment.start), step = Int(segment.stride)
        if step == 0, size == 1, let index = tables.keys {
          for t in first..<end where Int(index[start + t]) < cells { body(Int(index[start + t])) }
        } else if step == 0, let index = tables.keys {
          for t in first..<end {
            let cell = Int(index[start + t]) / size
            if cell < cells { body(cell) }
          }
        } else if step >= size {
          for t in first..<end where (start + t * step) / size < cells { body((start + t * step) / size) }
        } else {
          let last = (start + (end - 1) * step) / size
          for cell in (start + first * step) / size..<min(cells, last + 1) { body(cell) }
        }
      }
    }
  }

  /// The same with the copy of a hot block that the element uses in its place.
  @inline(__always)
  private func forEachPlace(
    _ element: BackwardPlan.Element, _ copies: [Int: (first: Int, count: Int)], _ body: (Int) -> Void
  ) {
    if copies.isEmpty { return forEachCell(element, body) }
    let slot = Int(element.slot)
    forEachCell(element) { cell in body(copies[cell].map { $0.first + slot % $0.count } ?? cell) }
  }

  /// The blocks that many elements see, with copies.
  private func hotBlocks(_ elements: [Placed]) -> [BackwardColours.HotBlock] {
    var seen = [Int](repeating: 0, count: cells), last = [Int](repeating: -1, count: cells)
    for (number, placed) in elements.enumerated() {
      forEachCell(placed.element) {
        if last[$0] != number { seen[$0] += 1 }
        last[$0] = number
      }
    }
    let most = BackwardColours.hotTiles * low, each = BackwardColours.tilesPerCopy * low
    return (0..<cells).filter { seen[$0] > most }.map {
      let copies = (seen[$0] + each - 1) / each
      return .init(block: $0, copies: copies, firstAccumulator: 0)
    }
  }

  /// Colours elements: each run gets the first that none of its cells has yet; `nil`: more than 64.
  private func colours(
    _ elements: [Placed], phase: Int, _ copies: [Int: (first: Int, count: Int)], _ places: Int
  ) -> [BackwardColours.Colour]? {
    var colours: [BackwardColours.Colour] = []
    let fits = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: places) { masks in
      masks.initialize(repeating: 0)
      var next = 0
      while next < elements.count {
        let head = elements[next].element.head
        var end = next + 1
        while end < min(elements.count, next + runLength), elements[end].element.head == head { end += 1 }
        let run = elements[next..<end]
        var taken: UInt64 = 0
        for placed in run { forEachPlace(placed.element, copies) { taken |= masks[$0] } }
        // The first that is free keeps colours few, and so the times that threads wait for each other.
        let colour = min((~taken).trailingZeroBitCount, colours.count)
        if colour == colours.count {
          guard colour < 64 else { return false }
          colours.append(.init(phase: phase, elements: []))
        }
        let bit: UInt64 = 1 << UInt64(colour)
        for placed in run { forEachPlace(placed.element, copies) { masks[$0] |= bit } }
        colours[colour].runs.append(colours[colour].elements.count)
        for placed in run {
          colours[colour].elements.append(placed.element)
          colours[colour].cost += placed.cost
        }
        next = end
      }
      return true
    }
    guard fits else { return nil }
    return colours
  }
}
