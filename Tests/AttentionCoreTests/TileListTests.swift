import Basics
import Tensors
import Testing

@testable import AttentionCore

/// Exact pair counts of tile lists, against one-by-one counting.
@Suite struct TileListTests {
  /// A list with every kind of row list, key list and mask.
  static func random(seed: UInt64, rows: Int, keys: Int) -> TileList {
    var generator = RandomKey(seed: seed).generator()
    var list = TileList()
    for _ in 0..<6 {
      let count = 1 + generator.integer(below: min(rows, 64))
      let segments = (0..<generator.integer(below: 4)).map { _ -> TileList.Segment in
        let length = 1 + generator.integer(below: keys)
        let words = (0..<length).map { _ in generator.next() }
        let low = generator.integer(below: 40) - 20
        let masks: [TileList.Mask] = [
          .full, .notSelf, .band(low: Int32(low), high: Int32(low + generator.integer(below: 30))),
          list.bitMask(words),
        ]
        let mask = masks[generator.integer(below: 4)]
        switch generator.integer(below: 3) {
        case 0:
          return TileList.Segment(
            start: generator.integer(below: keys - length + 1), count: length, mask: mask)
        case 1:
          return TileList.Segment(
            start: 0, count: (keys + 2) / 3 < length ? (keys + 2) / 3 : length, stride: 3, mask: mask)
        default:
          return list.gathered(
            keys: (0..<length).map { _ in Int32(generator.integer(below: keys)) }, mask: mask)
        }
      }
      if generator.integer(below: 2) == 0 {
        list.addTile(start: generator.integer(below: rows - count + 1), count: count, segments: segments)
      } else {
        list.addTile(rows: (0..<count).map { _ in Int32(generator.integer(below: rows)) }, segments: segments)
      }
    }
    return list
  }

  @Test("needed pairs are the pairs that are visited and let through", arguments: UInt64(1)...20)
  func neededPairs(seed: UInt64) {
    let list = Self.random(seed: seed, rows: 50, keys: 70)
    for (offset, valid) in [(0, 70), (20, 70), (-5, 33), (20, 0)] {
      var count = 0
      list.forEachPair(queryOffset: offset) { _, key in count += key < valid ? 1 : 0 }
      #expect(
        list.neededPairs(queryOffset: offset, validKeys: valid) == Double(count),
        "seed \(seed), offset \(offset)")
    }
    var visited = 0
    for tile in list.tiles {
      visited += list.segments(of: tile).reduce(0) { $0 + Int($1.count) } * Int(tile.count)
    }
    #expect(list.executedPairs == Double(visited))
  }

  @Test("quotients round down and up for negative numbers too")
  func quotients() {
    for a in -12...12 {
      for b in 1...5 {
        let exact = Double(a) / Double(b)
        #expect(floorQuotient(a, b) == Int(exact.rounded(.down)))
        #expect(ceilingQuotient(a, b) == Int(exact.rounded(.up)))
      }
    }
  }
}
