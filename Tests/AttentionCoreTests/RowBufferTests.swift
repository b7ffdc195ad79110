import AttentionCore
import Basics
import Tensors
import Testing

/// Rows that come and go, against a plain list of rows.
@Suite struct RowBufferTests {
  private static let heads = 3, dim = 5

  /// `count` rows of every head; element = 1000·head + number of the row, the same along dim but for its sign.
  private func rows(_ numbers: [Int]) throws -> Tensor {
    var values: [Float] = []
    for head in 0..<Self.heads {
      for number in numbers {
        for t in 0..<Self.dim { values.append(Float(t % 2 == 0 ? 1 : -1) * Float(10_000 * head + number)) }
      }
    }
    return try Tensor(values, shape: [1, Self.heads, numbers.count, Self.dim])
  }

  @Test(arguments: 0..<12) func staysWhatAListOfRowsIs(seed: Int) throws {
    var random = RandomKey(seed: UInt64(seed))("rows").generator()
    var next = 0
    func fresh(_ count: Int) -> [Int] {
      next += count
      return Array(next - count..<next)
    }
    var expected = fresh(random.integer(below: 60))
    var buffer = try RowBuffer(rows(expected))
    for _ in 0..<200 {
      let added = fresh(random.integer(below: 8) == 0 ? random.integer(below: 90) : random.integer(below: 3))
      try buffer.append(rows(added))
      expected += added
      #expect(buffer.count == expected.count && buffer.capacity <= expected.count + expected.count / 4 + 80)
      // Mostly as windows with sinks drop rows, now and then anything.
      let start =
        random.integer(below: 4) == 0 ? random.integer(below: expected.count + 1) : min(2, expected.count)
      let removed = start..<max(start, random.integer(below: 3) == 0 ? expected.count - 20 : start)
      try buffer.remove(removed)
      expected.removeSubrange(removed)
      let whole = buffer.rows.array(), wanted = try rows(expected).array()
      try #require(whole == wanted, "after rows \(removed) went")
    }
    #expect(buffer.byteCount == 4 * Self.heads * Self.dim * expected.count)
  }

  @Test("a window that moves on neither grows nor asks for blocks")
  func steadyState() throws {
    let ledger = MemoryLedger(recycles: true)
    var buffer = try RowBuffer(rows(Array(0..<100)), ledger: ledger)
    let bytes = ledger.currentBytes
    for number in 100..<1000 {
      try buffer.append(rows([number]))
      try buffer.remove(0..<1)
    }
    #expect(ledger.currentBytes == bytes && ledger.peakBytes == bytes)
    #expect(buffer.rows.array() == (try rows(Array(900..<1000)).array()))
  }

  @Test func aLedgerThatRefusesLeavesTheRows() throws {
    let ledger = MemoryLedger(limitBytes: 4 * Self.heads * Self.dim * 40)
    var buffer = try RowBuffer(rows([1, 2]), ledger: ledger)
    #expect(throws: MemoryLimitExceeded.self) { try buffer.append(rows(Array(0..<90))) }
    #expect(buffer.rows.array() == (try rows([1, 2]).array()))
  }
}
