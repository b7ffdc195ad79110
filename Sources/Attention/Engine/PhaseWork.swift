import AttentionCore

/// The work of one conflict-free phase over all (batch, head): KV splits first, then groups of whole tiles.
struct PhaseWork: Sendable {
  /// One of the `count` KV splits of a tile that has `keys` keys.
  struct KVSplit: Sendable {
    var batch: Int, head: Int, tile: Int, index: Int, count: Int, keys: Int
  }
  /// Tiles that one worker takes at once.
  struct Group: Sendable {
    var batch: Int, head: Int
    var phase: ForwardPlan.Phase
    var first: Int, count: Int

    func tile(_ position: Int) -> Int { phase.tile(first + position) }
  }

  let kvSplits: [KVSplit]
  let itemCount: Int
  private let phases: [ForwardPlan.Phase?]
  private let groupStarts: [Int]
  private let groupSize: Int
  private let heads: Int
  private let pattern: TilePattern

  /// Bytes that it holds besides the plan.
  var byteCount: Int {
    kvSplits.count * MemoryLayout<KVSplit>.stride + groupStarts.count * MemoryLayout<Int>.stride
  }

  init(plan: ForwardPlan, shape: AttentionShape, phase: Int) {
    heads = shape.queryHeads
    pattern = plan.pattern
    groupSize = plan.group
    phases = plan.lists.map { phase < $0.phases.count ? $0.phases[phase] : nil }
    var kvSplits: [KVSplit] = []
    var starts = [0]
    for index in 0..<shape.batch * shape.queryHeads {
      let (batch, head) = (index / shape.queryHeads, index % shape.queryHeads)
      let listIndex = pattern.index(batch: batch, head: head)
      let list = pattern.lists[listIndex]
      for tile in phases[listIndex]?.splitTiles ?? [] {
        let keys = list.keyCount(of: list.tiles[Int(tile.tile)])
        for index in 0..<Int(tile.kvSplits) {
          kvSplits.append(
            KVSplit(
              batch: batch, head: head, tile: Int(tile.tile), index: index, count: Int(tile.kvSplits),
              keys: keys))
        }
      }
      starts.append(starts[index] + ((phases[listIndex]?.tileCount ?? 0) + groupSize - 1) / groupSize)
    }
    self.kvSplits = kvSplits
    groupStarts = starts
    itemCount = kvSplits.count + (starts.last ?? 0)
  }

  /// The numbers of the groups of a (batch, head), counted together.
  func groups(ofHead index: Int) -> Range<Int> { groupStarts[index]..<groupStarts[index + 1] }

  /// The group of this number.
  func group(_ number: Int) -> Group {
    var low = 0
    var high = groupStarts.count - 1
    while high - low > 1 {
      let middle = (low + high) / 2
      if groupStarts[middle] <= number { low = middle } else { high = middle }
    }
    let (batch, head) = (low / heads, low % heads)
    let phase = phases[pattern.index(batch: batch, head: head)] ?? ForwardPlan.Phase(tiles: [], tileCount: 0)
    let first = (number - groupStarts[low]) * groupSize
    return Group(
      batch: batch, head: head, phase: phase, first: first, count: min(groupSize, phase.tileCount - first))
  }
}

extension TileList {
  /// The keys that a tile executes.
  func keyCount(of tile: QueryTile) -> Int {
    let first = Int(tile.firstSegment)
    return segments[first..<first + Int(tile.segmentCount)].reduce(0) { $0 + Int($1.count) }
  }
}
