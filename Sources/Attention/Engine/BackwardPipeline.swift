import AttentionCore
import CKernels
import Tensors

/// How the work of a dense backward pass is divided, so that every gradient is added to in place.
///
/// The tiles of the query heads that share a key head are cut into *row stripes*, a few tiles of one query head each, which
/// one worker takes through the keys in ascending order, KV block by KV block; so keys, values and their gradients come to its
/// cache once for all tiles of the stripe. Several workers follow each other: a stripe may go on to a KV block when all stripes
/// before it have left it. Later stripes have earlier rows, so that under a causal mask the longest come first and in a
/// band every stripe begins where nobody has been.
///
/// The gradient of a key is thus the sum over tiles in descending order, and that of a query the sum over KV blocks in
/// ascending order, whatever the stripes: they are cut to suit the number of threads, and the bits stay the same. (Blocks
/// of keys end with the KV block for that.) No gradient is privatised. Up to `min(stripes, blocks)` threads work on one
/// head; `w` of them wait `w − 1` KV blocks at the beginning, where stripes begin at the same key.
///
/// Windows go the same way (`BackwardPipeline+Windows.swift`): there every stripe begins before the one that was handed out
/// earlier, and none waits.
struct BackwardPipeline: Sendable {
  /// Tiles of one query head, and the KV blocks in which they have keys.
  struct RowStripe: Sendable {
    /// Which (batch, key head), batch-major.
    var group: Int
    var batch: Int, head: Int
    var tiles: Range<Int>
    var keyBlocks: Range<Int>
    /// The pipeline stage: the place among the stripes of its (batch, key head).
    var stage: Int
  }

  /// Keys of a KV block: whole blocks of the kernel.
  let keyBlockSize: Int
  let keyBlockCount: Int
  /// Whether rows see neighbouring keys. Stripes then have as many rows as a KV block has keys, whatever the number of threads: each begins
  /// a KV block before the one that goes ahead of it.
  let isWindow: Bool
  /// Tiles of a window's stripe, at most: more than `localBackwardTiles` where tiles are low. 0 elsewhere.
  private let windowTiles: Int
  /// Tiles of all query heads that share a key head, at most.
  private let tileCount: Int

  /// The pipeline of a pattern whose rows see many of the keys; `nil` where privatised accumulators of a few blocks, or KV
  /// splits of few tiles, serve better.
  init?(
    pattern: TilePattern, shape: AttentionShape, costs: [TileCosts], phases: [TilePhases],
    choices: ProcessorChoices
  ) {
    guard !pattern.gathersKeys, phases.allSatisfy({ $0.count <= 1 }) else { return nil }
    tileCount = (pattern.lists.map(\.tiles.count).max() ?? 0) * shape.groupSize
    // Short ones where there are few: threads begin a KV block apart.
    let size = min(
      BackwardPlan.keyBlockSize(shape, choices), (shape.keyLength >= 2048 ? 2 : 1) * Int(ATTN_BLOCK))
    if Self.isDense(
      pattern, costs, shape, keyBlockSize: size, tileCount: tileCount, localKeys: choices.localKeys)
    {
      (keyBlockSize, isWindow, windowTiles) = (size, false, 0)
    } else if let window = BackwardWindow(pattern: pattern, shape: shape, choices: choices) {
      let tiles = pattern.lists.map { $0.tiles(ofRows: window.keyBlockSize) }
      (keyBlockSize, isWindow, windowTiles) = (window.keyBlockSize, true, tiles.max() ?? 1)
    } else {
      return nil
    }
    keyBlockCount = (shape.keyLength + keyBlockSize - 1) / keyBlockSize
  }

  /// Whether rows see about half of the keys, as causal ones do, or more of them than a cache holds from tile to tile; and at
  /// least half of a KV block's where any, in a few runs.
  private static func isDense(
    _ pattern: TilePattern, _ costs: [TileCosts], _ shape: AttentionShape, keyBlockSize: Int, tileCount: Int,
    localKeys: Int
  ) -> Bool {
    // Threads share a head by its tiles and KV blocks: not where there are few of one beside many of the other.
    let keyBlockCount = (shape.keyLength + keyBlockSize - 1) / keyBlockSize
    let groups = shape.batch * shape.keyHeads, rows = tileCount * TileList.lanes
    guard tileCount > 0, tileCount * groups >= 8 || shape.keyLength <= 2 * rows,
      keyBlockCount * groups >= 8 || rows <= 2 * shape.keyLength
    else { return false }
    let enough = min(Double(localKeys), 0.45 * Double(shape.keyLength))
    return zip(pattern.lists, costs).allSatisfy { list, cost in
      guard list.segments.count <= 16 * list.tiles.count else { return false }
      var lanes = 0.0
      var keys = 0.0
      var executed = 0
      for (number, tile) in list.tiles.enumerated() {
        lanes += TileCosts.lanes(Int(tile.count))
        keys += Double(cost.keys[number])
        var end = 0
        for segment in list.segments(of: tile) {
          let first = Int(segment.start) / keyBlockSize
          let last = (Int(segment.start) + (Int(segment.count) - 1) * Int(segment.stride)) / keyBlockSize
          executed += max(0, last + 1 - max(first, end))
          end = max(end, last + 1)
        }
      }
      return cost.total >= enough * lanes && keys >= 0.5 * Double(executed * keyBlockSize)
    }
  }

  /// Tiles of a stripe: few enough that every thread gets some stripes.
  func stripeTiles(limit: Int, heads: Int, threads: Int) -> Int {
    if isWindow { return windowTiles }
    return max(1, min(limit, threads == 1 ? tileCount : tileCount * heads / (3 * threads)))
  }

  /// The keys of a KV block.
  func keys(ofKeyBlock block: Int, keyLength: Int) -> Range<Int> {
    block * keyBlockSize..<min(keyLength, (block + 1) * keyBlockSize)
  }

  /// All stripes in the order in which they are handed out, as many heads abreast as there are threads: stripes of
  /// different heads never wait for each other, and the keys of one head stay near.
  func stripes(pattern: TilePattern, shape: AttentionShape, tiles size: Int, threads: Int) -> [RowStripe] {
    let groups = shape.batch * shape.keyHeads
    // Threads that share a head begin one after the other: the first stripes are soon out of the way.
    let short = groups < threads && !isWindow ? (threads - 1) / groups : 0
    var stripes: [RowStripe] = []
    for first in stride(from: 0, to: groups, by: threads) {
      let abreast = (first..<min(groups, first + threads)).map {
        self.stripes(ofGroup: $0, pattern: pattern, shape: shape, tiles: size, short: short)
      }
      for stage in 0..<(abreast.map(\.count).max() ?? 0) {
        for group in abreast where stage < group.count { stripes.append(group[stage]) }
      }
    }
    return stripes
  }

  /// The stripes of a (batch, key head), `size` tiles each, the first `short` ones a quarter of that.
  private func stripes(
    ofGroup group: Int, pattern: TilePattern, shape: AttentionShape, tiles size: Int, short: Int
  )
    -> [RowStripe]
  {
    let batch = group / shape.keyHeads, keyHead = group % shape.keyHeads
    var stripes: [RowStripe] = []
    for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
      let list = pattern.list(batch: batch, head: head)
      let size = isWindow ? list.tiles(ofRows: keyBlockSize) : size
      var last = list.tiles.count
      while last > 0 {
        let tiles = max(0, last - (stripes.count < short ? max(1, size / 4) : size))..<last
        last = tiles.lowerBound
        stripes.append(
          RowStripe(
            group: group, batch: batch, head: head, tiles: tiles, keyBlocks: keyBlocks(of: tiles, in: list),
            stage: stripes.count))
      }
    }
    return stripes
  }

  /// The KV blocks from the first to the last in which tiles have keys.
  private func keyBlocks(of tiles: Range<Int>, in list: TileList) -> Range<Int> {
    var first = Int.max, last = -1
    for tile in list.tiles[tiles] {
      for segment in list.segments(of: tile) {
        let start = Int(segment.start)
        first = min(first, start)
        last = max(last, start + (Int(segment.count) - 1) * Int(segment.stride))
      }
    }
    return last < first ? 0..<0 : first / keyBlockSize..<min(keyBlockCount, last / keyBlockSize + 1)
  }
}

/// The row stripes of a pipeline for a number of threads, in the order in which they are handed out.
struct RowStripes: Schedule {
  /// Tiles of a stripe, at most.
  let tiles: Int
  let stripes: [BackwardPipeline.RowStripe]

  init(
    _ pipeline: BackwardPipeline, limit: Int, pattern: TilePattern, shape: AttentionShape, threads: Int
  ) {
    tiles = pipeline.stripeTiles(limit: limit, heads: shape.batch * shape.keyHeads, threads: threads)
    stripes = pipeline.stripes(pattern: pattern, shape: shape, tiles: tiles, threads: threads)
  }

  var byteCount: Int { stripes.count * MemoryLayout<BackwardPipeline.RowStripe>.stride }
}

extension TileList.Segment {
  /// The places of those keys of a run that lie in a range.
  /// - Precondition: the keys are not gathered.
  func places(in keys: Range<Int>) -> Range<Int> {
    let (start, count, stride) = (Int(start), Int(count), Int(stride))
    /// The first place at or after a key.
    func place(_ key: Int) -> Int { key <= start ? 0 : min(count, (key - start + stride - 1) / stride) }
    return place(keys.lowerBound)..<place(keys.upperBound)
  }
}
