import AttentionCore

/// The work of one wave over all (batch, head): parts of split tiles first, then groups of whole tiles.
struct WaveWork: Sendable {
  /// A part of a split tile.
  struct Part: Sendable {
    var batch: Int, head: Int, tile: Int, part: Int, parts: Int, keys: Int
  }
  /// Tiles that one worker takes at once.
  struct Group: Sendable {
    var batch: Int, head: Int
    var wave: ForwardPlan.Wave
    var first: Int, count: Int

    func tile(_ position: Int) -> Int { wave.tile(first + position) }
  }

  let parts: [Part]
  let itemCount: Int
  private let waves: [ForwardPlan.Wave?]
  private let groupStarts: [Int]
  private let groupSize: Int
  private let heads: Int
  private let pattern: TilePattern

  /// Bytes that it holds besides the plan.
  var byteCount: Int {
    parts.count * MemoryLayout<Part>.stride + groupStarts.count * MemoryLayout<Int>.stride
  }

  init(plan: ForwardPlan, shape: AttentionShape, wave: Int) {
    heads = shape.queryHeads
    pattern = plan.pattern
    groupSize = plan.group
    waves = plan.lists.map { wave < $0.waves.count ? $0.waves[wave] : nil }
    var parts: [Part] = []
    var starts = [0]
    for index in 0..<shape.batch * shape.queryHeads {
      let (batch, head) = (index / shape.queryHeads, index % shape.queryHeads)
      let listIndex = pattern.index(batch: batch, head: head)
      let list = pattern.lists[listIndex]
      for split in waves[listIndex]?.splits ?? [] {
        let keys = list.keyCount(of: list.tiles[Int(split.tile)])
        for part in 0..<Int(split.parts) {
          parts.append(
            Part(
              batch: batch, head: head, tile: Int(split.tile), part: part, parts: Int(split.parts), keys: keys
            ))
        }
      }
      starts.append(starts[index] + ((waves[listIndex]?.tileCount ?? 0) + groupSize - 1) / groupSize)
    }
    self.parts = parts
    groupStarts = starts
    itemCount = parts.count + (starts.last ?? 0)
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
    let wave = waves[pattern.index(batch: batch, head: head)] ?? ForwardPlan.Wave(tiles: [], tileCount: 0)
    let first = (number - groupStarts[low]) * groupSize
    return Group(
      batch: batch, head: head, wave: wave, first: first, count: min(groupSize, wave.tileCount - first))
  }
}

extension TileList {
  /// The keys that a tile visits.
  func keyCount(of tile: QueryTile) -> Int {
    let first = Int(tile.firstSegment)
    return segments[first..<first + Int(tile.segmentCount)].reduce(0) { $0 + Int($1.count) }
  }
}
