import AttentionCore
import Tensors

/// Whether rows see neighbouring keys, so that row stripes follow each other through them without waiting.
///
/// A stripe has the rows of `localBackwardTiles` whole tiles, in however many low ones, and takes KV blocks of as many keys. The stripe that
/// is handed out next has the rows before, so its first KV block is the one before, too: where all go at the same pace, each enters a KV
/// block when the one ahead leaves it. No gradient is privatised, and any number of threads up to that of stripes can share a head.
///
/// Rows a step apart (dilated windows) keep units: stripes took 4 to 7 % more time there.
struct BackwardWindow {
  /// Rows of a stripe, and keys of a KV block.
  let keyBlockSize: Int
  let keyBlockCount: Int

  /// Workers of the trial, and how busy they are at least.
  static let trialWorkers = 16, leastBusy = 0.8
  /// Segments a tile, on average, at most: every KV block looks through them.
  static let mostSegments = 4

  /// - Returns: `nil` where keys come from elsewhere: where workers would wait for each other, a KV block would have few keys of a tile, or
  ///   rows see more keys than a cache holds from tile to tile.
  /// - Complexity: O(tiles · KV blocks of a stripe).
  init?(pattern: TilePattern, shape: AttentionShape, choices: ProcessorChoices) {
    let rows = TileList.lanes * choices.localBackwardTiles
    // Low tiles leave scratch enough for half as many rows more, which whole blocks of the kernel fill, where stripes are still enough.
    let isLow = pattern.lists.allSatisfy { $0.tiles(ofRows: TileList.lanes) > 1 }
    let sizes = isLow ? [rows * 3 / 2, rows] : [rows]
    let fitting = sizes.lazy.compactMap { BackwardWindow(pattern, shape, choices, rows: $0) }.first
    guard let fitting else { return nil }
    self = fitting
  }

  private init?(_ pattern: TilePattern, _ shape: AttentionShape, _ choices: ProcessorChoices, rows size: Int)
  {
    keyBlockSize = size
    keyBlockCount = (shape.keyLength + size - 1) / size
    guard !pattern.lists.isEmpty else { return nil }
    for list in pattern.lists {
      let stripe = list.tiles(ofRows: size)
      guard list.tiles.count >= stripe * Self.trialWorkers,
        list.segments.count <= Self.mostSegments * list.tiles.count,
        list.segments.allSatisfy({ $0.stride == 1 }),
        busy(list, stripe: stripe, localKeys: choices.localKeys) >= Self.leastBusy
      else { return nil }
    }
  }

  /// The part of their time that the workers of the trial are busy, in steps of a row and a key; 0 where tiles have few keys of a KV block,
  /// or too many keys.
  private func busy(_ list: TileList, stripe: Int, localKeys: Int) -> Double {
    var free = [Double](repeating: 0, count: Self.trialWorkers)
    var left = [Double](repeating: 0, count: keyBlockCount)
    var total = 0.0, keyCount = 0, executed = 0
    for last in Swift.stride(from: list.tiles.count, to: 0, by: -stripe) {
      let costs = costs(list, max(0, last - stripe)..<last)
      guard let worker = free.indices.min(by: { free[$0] < free[$1] }) else { return 0 }
      var time = free[worker]
      for (block, cost) in costs.sorted(by: { $0.key < $1.key }) {
        time = max(time, left[block]) + cost.steps
        left[block] = time
        total += cost.steps
        keyCount += cost.keys
        executed += cost.tiles
      }
      free[worker] = time
    }
    guard keyCount <= localKeys * list.tiles.count, 2 * keyCount >= executed * keyBlockSize,
      let end = free.max(), end > 0
    else { return 0 }
    return total / (end * Double(Self.trialWorkers))
  }

  /// What some tiles have to do in every KV block: steps, keys, and how many of the tiles.
  private func costs(_ list: TileList, _ tiles: Range<Int>) -> [Int: (steps: Double, keys: Int, tiles: Int)] {
    var costs: [Int: (steps: Double, keys: Int, tiles: Int)] = [:]
    for tile in list.tiles[tiles] {
      var seen = -1
      for segment in list.segments(of: tile) {
        let start = Int(segment.start), end = start + Int(segment.count)
        for block in start / keyBlockSize..<min(keyBlockCount, (end + keyBlockSize - 1) / keyBlockSize) {
          let keys = min(end, (block + 1) * keyBlockSize) - max(start, block * keyBlockSize)
          var cost = costs[block] ?? (0, 0, 0)
          cost.steps += Double(keys) * TileCosts.lanes(Int(tile.count))
          cost.keys += keys
          cost.tiles += block == seen ? 0 : 1
          costs[block] = cost
          seen = block
        }
      }
    }
    return costs
  }
}

extension TileList {
  /// How many of its highest tiles have so many rows, at least one.
  /// - Complexity: O(tiles).
  func tiles(ofRows rows: Int) -> Int {
    max(1, rows / max(1, tiles.reduce(0) { max($0, Int($1.count)) }))
  }
}
