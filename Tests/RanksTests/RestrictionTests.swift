import Attention
import AttentionCore
import Basics
import Tensors
import Testing

@Suite struct RestrictionTests {
  /// Pairs of a list, as `row, key, times`.
  private func pairs(_ list: TileList, queryOffset: Int) -> [[Int]: Int] {
    var found: [[Int]: Int] = [:]
    list.forEachPair(queryOffset: queryOffset) { found[[$0, $1], default: 0] += 1 }
    return found
  }

  @Test(
    "A restricted list has the pairs of the kept rows and keys, numbered anew, for every kind of tile, segment and mask",
    arguments: 0..<60)
  func restrictedPairs(seed: Int) throws {
    var generator = RandomKey(seed: UInt64(seed))("restriction").generator()
    let rows = 1 + generator.integer(below: 90), keys = 1 + generator.integer(below: 90)
    let offset = seed % 3 == 0 ? 0 : keys - rows
    let list = randomList(rows: rows, keys: keys, using: &generator)
    let keptRows = randomRuns(rows, using: &generator), keptKeys = randomRuns(keys, using: &generator)
    var expected: [[Int]: Int] = [:], inPlace: [[Int]: Int] = [:]
    for (pair, count) in pairs(list, queryOffset: offset) {
      guard let row = keptRows.place(of: pair[0]), let key = keptKeys.place(of: pair[1]) else { continue }
      expected[[row, key]] = count
      inPlace[[pair[0] + offset, key]] = count
    }
    let restricted = list.restricted(queryOffset: offset, rows: keptRows, keys: keptKeys)
    #expect(pairs(restricted, queryOffset: 0) == expected, "seed \(seed)")
    let unmoved = list.restricted(
      queryOffset: offset, rows: keptRows, keys: keptKeys, renumbersRows: false)
    #expect(pairs(unmoved, queryOffset: 0) == inPlace, "seed \(seed), rows not renumbered")
    let seen = Set(expected.keys.map { $0[1] })
    #expect(restricted.keysSeen == RowRuns(seen.map { $0..<$0 + 1 }), "seed \(seed)")
    #expect(
      RowRuns(expected.keys.map { $0[0]..<$0[0] + 1 }).runs.allSatisfy { run in
        run.allSatisfy { restricted.rowsSeeing.place(of: $0) != nil }
      }, "seed \(seed)")
  }

  private func randomRuns(_ count: Int, using generator: inout RandomGenerator) -> RowRuns {
    RowRuns(
      (0..<1 + generator.integer(below: 4)).map { _ in
        let start = generator.integer(below: count)
        return start..<min(count, start + 1 + generator.integer(below: 40))
      })
  }

  private func randomList(rows: Int, keys: Int, using generator: inout RandomGenerator) -> TileList {
    var list = TileList()
    for _ in 0..<5 {
      let stride = 1 + generator.integer(below: 3)
      let count = 1 + generator.integer(below: min(64, (rows + stride - 1) / stride))
      let segments = (0..<generator.integer(below: 4)).map { _ in
        randomSegment(rows: count, keys: keys, list: &list, using: &generator)
      }
      if generator.integer(below: 3) == 0 {
        list.addTile(
          rows: Array((0..<Int32(rows)).shuffled(using: &generator).prefix(count)), segments: segments)
      } else {
        let start = generator.integer(below: rows - (count - 1) * stride)
        list.addTile(start: start, count: count, stride: stride, segments: segments)
      }
    }
    return list
  }

  private func randomSegment(
    rows: Int, keys: Int, list: inout TileList, using generator: inout RandomGenerator
  ) -> TileList.Segment {
    let stride = 1 + generator.integer(below: 3)
    let count = 1 + generator.integer(below: (keys + stride - 1) / stride)
    let mask: TileList.Mask
    switch generator.integer(below: 4) {
    case 0: mask = .full
    case 1:
      let low = generator.integer(below: 60) - 30
      mask = .band(low: Int32(low), high: Int32(low + generator.integer(below: keys)))
    case 2: mask = .notSelf
    default:
      let used: UInt64 = rows == 64 ? .max : (1 << UInt64(rows)) - 1
      mask = list.bitMask((0..<count).map { _ in generator.next() & used & (generator.next() | 1) })
    }
    if generator.integer(below: 2) == 0 {
      return list.gathered(
        keys: (0..<count).map { _ in Int32(generator.integer(below: keys)) }, mask: mask)
    }
    let start = generator.integer(below: keys - (count - 1) * stride)
    return TileList.Segment(start: start, count: count, stride: stride, mask: mask)
  }

  @Test("Rows pack, unpack and add up where they came from")
  func packing() throws {
    let tensor = try Tensor.normal([2, 3, 20, 5], key: RandomKey(seed: 3)).transposed(1, 1)
    let rows = RowRuns([2..<5, 9..<10, 17..<20])
    #expect(rows.count == 7 && rows.row(at: 3) == 9 && rows.place(of: 18) == 5 && rows.place(of: 10) == nil)
    #expect(rows.complement(in: 20).count == 13 && rows.count(before: 10) == 4)
    for precision in Precision.allCases {
      let stored = try tensor.converted(to: precision)
      let block = try Tensor.packed([stored, stored], rows: rows, ledger: nil)
      let parts = block.unpacked([[2, 3, 7, 5], [2, 3, 7, 5]])
      for head in 0..<6 {
        for place in 0..<7 {
          let (got, want) = (
            parts[1][head / 3, head % 3, place, 4], stored[head / 3, head % 3, rows.row(at: place), 4]
          )
          #expect(got == want)
        }
      }
    }
    var sum = try Tensor(zeros: [2, 3, 20, 5])
    sum.add(try Tensor.packed([tensor], rows: rows, ledger: nil).reshaped([2, 3, 7, 5]), toRows: rows)
    sum.add(
      try Tensor.packed([tensor], rows: rows.complement(in: 20), ledger: nil).reshaped([2, 3, 13, 5]),
      toRows: rows.complement(in: 20))
    #expect(sum.array() == tensor.array())
    let longer = try tensor.withRowOfZeros(ledger: nil)
    #expect(
      longer.shape == [2, 3, 21, 5] && longer[1, 2, 20, 3] == 0 && longer[1, 2, 19, 3] == tensor[1, 2, 19, 3])
  }
}
