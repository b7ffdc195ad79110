import AttentionCore
import Tensors

/// What a forward pass does in which order: fixed by pattern and shape, never by the number of threads.
///
/// Tiles go in *conflict-free phases*: within a phase no two tiles of a (batch, head) share a row, so they may run at once; a
/// later phase combines its rows with what is there by log-sum-exp. Most patterns have one phase; LSH has one a round.
/// Tiles that would keep one thread busy while others wait (rows that see all keys) are cut into KV splits, whose partial
/// results an LSE reduction combines after the phase.
struct ForwardPlan: Sendable {
  /// A tile that is cut along its keys.
  struct SplitTile: Sendable {
    var tile: Int32
    var kvSplits: Int32
  }
  /// Tiles of one list that may run at once.
  struct Phase: Sendable {
    /// The tiles that run whole, longest first; `nil`: all tiles of the list in their own order.
    var tiles: [Int32]?
    var tileCount: Int
    var splitTiles: [SplitTile] = []

    func tile(_ position: Int) -> Int { tiles.map { Int($0[position]) } ?? position }
  }
  /// The phases of one list.
  struct ListPlan: Sendable {
    var phases: [Phase]
    var coversAllRows: Bool
  }

  let pattern: TilePattern
  let lists: [ListPlan]
  /// Tiles that one worker takes at once, sharing KV blocks in its cache.
  let group: Int
  /// Whether tiles see so many keys that those of a group should take them KV block by KV block.
  let sharesKeyBlocks: Bool
  /// Tiles of a group that need scratch at the same time.
  var tilesAtOnce: Int { sharesKeyBlocks ? group : 1 }

  var coversAllRows: Bool { lists.allSatisfy(\.coversAllRows) }
  /// Whether every row is written by one tile, or by the pieces of one.
  var isWrittenOnce: Bool { coversAllRows && phaseCount <= 1 }
  var phaseCount: Int { lists.map(\.phases.count).max() ?? 0 }
  /// Whether the rows of tiles are scattered, so that tiles that run at once write to the same lines of the LSE.
  var scattersRows: Bool { pattern.lists.contains { $0.tiles.first?.stride == 0 } }

  /// The work of a whole pass is dealt in pieces of at most about 1/64.
  static let grain = 64.0

  init(pattern: TilePattern, shape: AttentionShape, choices: ProcessorChoices) {
    self.pattern = pattern
    let heads = shape.batch * shape.queryHeads
    let used = Set(
      (0..<heads).map { pattern.index(batch: $0 / shape.queryHeads, head: $0 % shape.queryHeads) })
    let weight = Double(heads) / Double(max(1, used.count))
    let costs = pattern.lists.map(TileCosts.init)
    let total = used.reduce(0) { $0 + costs[$1].total } * weight
    lists = zip(pattern.lists, costs).map { list, cost in
      ListPlan(
        list: list, costs: cost, passTotal: total, queryLength: shape.queryLength,
        splitKeys: choices.splitKeys)
    }
    let tiles = used.reduce(0.0) { $0 + Double(pattern.lists[$1].tiles.count) } * weight
    group = max(1, min(choices.forwardTiles, Int(tiles / 32)))
    sharesKeyBlocks = ForwardPlan.hasLongRows(pattern, costs, localKeys: choices.localKeys)
  }

  /// Whether the rows of some list see more keys, on the mean, than a cache holds from tile to tile.
  static func hasLongRows(_ pattern: TilePattern, _ costs: [TileCosts], localKeys: Int) -> Bool {
    zip(pattern.lists, costs).contains { $1.total > Double(localKeys * $0.rowCount) }
  }
}

/// The cost of every tile of a list: lanes times keys.
struct TileCosts: Sendable {
  let keys: [Int32]
  let total: Double
  let highest: Double
  private let list: TileList

  init(_ list: TileList) {
    self.list = list
    var keys = [Int32](repeating: 0, count: list.tiles.count)
    var total = 0.0
    var highest = 0.0
    for (index, tile) in list.tiles.enumerated() {
      var sum = 0
      let first = Int(tile.firstSegment)
      for segment in first..<first + Int(tile.segmentCount) { sum += Int(list.segments[segment].count) }
      keys[index] = Int32(clamping: sum)
      let cost = Double(sum) * TileCosts.lanes(Int(tile.count))
      total += cost
      highest = max(highest, cost)
    }
    self.keys = keys
    self.total = total
    self.highest = highest
  }

  /// Lanes as they are computed: a tile of a few rows costs a vector of them.
  static func lanes(_ rows: Int) -> Double { Double(max(16, rows)) }

  func cost(_ tile: Int) -> Double { Double(keys[tile]) * TileCosts.lanes(Int(list.tiles[tile].count)) }
}

extension ForwardPlan.ListPlan {
  init(list: TileList, costs: TileCosts, passTotal: Double, queryLength: Int, splitKeys: Int) {
    let phaseOf = TilePhases(list, queryLength: queryLength)
    coversAllRows = phaseOf.coversAllRows
    let mean = costs.total / Double(max(1, list.tiles.count))
    let uneven = costs.highest > 1.5 * mean
    if phaseOf.count <= 1 && !uneven {
      phases = list.tiles.isEmpty ? [] : [.init(tiles: nil, tileCount: list.tiles.count)]
      // Few, equal tiles may still be too long for one thread each.
      let splits = ForwardPlan.kvSplits(
        keys: costs.keys.first ?? 0, cost: costs.highest, passTotal: passTotal, splitKeys: splitKeys)
      guard splits > 1 else { return }
    }
    var phases = (0..<max(1, phaseOf.count)).map { _ in ForwardPlan.Phase(tiles: [], tileCount: 0) }
    for tile in list.tiles.indices {
      let phase = phaseOf.phase(tile)
      let splits = ForwardPlan.kvSplits(
        keys: costs.keys[tile], cost: costs.cost(tile), passTotal: passTotal, splitKeys: splitKeys)
      if splits > 1 {
        phases[phase].splitTiles.append(.init(tile: Int32(tile), kvSplits: Int32(splits)))
      } else {
        phases[phase].tiles?.append(Int32(tile))
      }
    }
    for index in phases.indices {
      phases[index].tiles?.sort { (costs.cost(Int($0)), $1) > (costs.cost(Int($1)), $0) }
      phases[index].tileCount = phases[index].tiles?.count ?? 0
    }
    self.phases = phases
  }
}

extension ForwardPlan {
  /// How many KV splits a tile is cut into: enough that none is more than a grain of the pass, each long enough to pay.
  static func kvSplits(
    keys: Int32, cost: Double, passTotal: Double, splitKeys: Int, grain: Double = grain
  ) -> Int {
    guard passTotal > 0 else { return 1 }
    let byLength = (Int(keys) + splitKeys - 1) / splitKeys
    return max(1, min(64, byLength, Int((cost * grain / passTotal).rounded(.up))))
  }
}

/// The phase of every tile: one more than the last earlier tile that shares a row with it.
struct TilePhases: Sendable {
  let count: Int
  let coversAllRows: Bool
  /// Whether the tiles of the first phase do.
  let firstCoversAllRows: Bool
  private let phases: [Int32]?

  init(_ list: TileList, queryLength: Int) {
    if let covered = TilePhases.ascendingRows(list) {
      count = list.tiles.isEmpty ? 0 : 1
      coversAllRows = covered == queryLength
      firstCoversAllRows = coversAllRows
      phases = nil
      return
    }
    var next = [Int32](repeating: 0, count: queryLength)
    var phases = [Int32](repeating: 0, count: list.tiles.count)
    var highest: Int32 = 0
    var first = 0
    for (index, tile) in list.tiles.enumerated() {
      var phase: Int32 = 0
      for t in 0..<Int(tile.count) { phase = max(phase, next[list.row(tile, t)]) }
      for t in 0..<Int(tile.count) { next[list.row(tile, t)] = phase + 1 }
      phases[index] = phase
      if phase == 0 { first += Int(tile.count) }
      highest = max(highest, phase)
    }
    count = Int(highest) + 1
    coversAllRows = !next.contains(0)
    firstCoversAllRows = first == queryLength
    self.phases = phases
  }

  func phase(_ tile: Int) -> Int { phases.map { Int($0[tile]) } ?? 0 }

  /// The rows covered when tiles are runs of rows in ascending order, which needs no table to see; else `nil`.
  private static func ascendingRows(_ list: TileList) -> Int? {
    var end: Int32 = 0
    var covered = 0
    for tile in list.tiles {
      guard tile.stride == 1 || (tile.count == 1 && tile.stride > 0), tile.start >= end else { return nil }
      end = tile.start + tile.count
      covered += Int(tile.count)
    }
    return covered
  }
}

extension TileList {
  /// The rows of all tiles.
  var rowCount: Int { tiles.reduce(0) { $0 + Int($1.count) } }

  /// The t-th row of a tile.
  func row(_ tile: QueryTile, _ t: Int) -> Int {
    tile.stride == 0 ? Int(queryIndices[Int(tile.start) + t]) : Int(tile.start) + t * Int(tile.stride)
  }
}
