import Basics
import Tensors
import Testing

/// Products of rows that lie as heads have the bits of the same products of rows that were moved: wide and narrow heads, short
/// and long sequences, several slices of k, heads of different widths beside each other.
@Suite struct HeadProductTests {
  /// Sequences, rows of each, model width, and the parts' heads and widths.
  struct Case: Sendable, CustomTestStringConvertible {
    let batch: Int, length: Int, width: Int
    let parts: [(heads: Int, dim: Int)]
    var testDescription: String {
      "\(batch) × \(length), \(width) → \(parts.map { "\($0.heads)·\($0.dim)" })"
    }
    var columns: Int { parts.reduce(0) { $0 + $1.heads * $1.dim } }

    func heads(_ key: RandomKey) throws -> HeadMatrix {
      HeadMatrix(
        try parts.indices.map {
          try Tensor.normal([batch, parts[$0].heads, length, parts[$0].dim], key: key($0))
        })
    }
    func rows(_ width: Int, _ key: RandomKey) throws -> Tensor {
      try .normal([batch * length, width], key: key)
    }
  }

  static let cases = [
    Case(batch: 2, length: 64, width: 64, parts: [(2, 32), (2, 32), (2, 32)]),
    Case(batch: 3, length: 101, width: 70, parts: [(4, 64), (1, 64), (1, 64)]),
    Case(batch: 1, length: 300, width: 96, parts: [(6, 96), (2, 96), (2, 32)]),
    Case(batch: 40, length: 29, width: 48, parts: [(3, 32)]),
    Case(batch: 5, length: 7, width: 33, parts: [(3, 32)]),
    Case(batch: 2, length: 50, width: 40, parts: [(2, 20), (1, 8)]),
    Case(batch: 1, length: 1, width: 64, parts: [(2, 32)]),
    Case(batch: 2, length: 13, width: 300, parts: [(9, 128)]),
  ]

  @Test(arguments: InstructionSet.available, cases)
  func sameBits(_ set: InstructionSet, _ own: Case) throws {
    let key = RandomKey(seed: 5)
    var sums: [[Float]] = []
    for threads in [1, 3] {
      var context = ExecutionContext.recycling(threads: threads, instructionSet: set)
      context.choices.parallelOperations = 1 << 12
      context.choices.productDepth = 128
      context.choices.productRows = 24
      let x = try own.rows(own.width, key("x")),
        w = try Tensor.normal([own.columns, own.width], key: key("w"))
      let bias = try Tensor.normal([own.columns], key: key("b"))
      for isPlain in [false, true] {
        let b = isPlain ? w.transposed(0, 1).contiguous() : w
        let side: ExecutionContext.Orientation = isPlain ? .plain : .transposed
        let rows = try context.matmul(x, .plain, b, side, bias: bias)
        let turned = try RotaryTable(convention: .half, dim: 8, count: own.length)
        let columns = own.parts.enumerated().map {
          HeadColumns(heads: $1.heads, dim: $1.dim, rotary: $0 == 0 ? turned : nil)
        }
        let made = try context.matmul(x, b, side, bias: bias, batch: own.batch, into: columns)
        var column = 0
        for (part, heads) in zip(columns, made) {
          let moved = try context.splitHeads(
            rows, column: column, batch: own.batch, heads: part.heads, dim: part.dim, rotary: part.rotary)
          #expect(heads.shape == moved.shape && heads.array() == moved.array(), "into heads, \(side)")
          column += part.heads * part.dim
        }
        let heads = try own.heads(key("h")), merged = try heads.moved(in: context)
        let (back, backSide): (Tensor, ExecutionContext.Orientation) =
          isPlain ? (w, .plain) : (w.transposed(0, 1).contiguous(), .transposed)
        let addend = try own.rows(own.width, key("r")), other = try Tensor.normal([own.width], key: key("o"))
        #expect(
          try context.matmul(heads, back, backSide, bias: other, adding: addend).array()
            == context.matmul(merged, .plain, back, backSide, bias: other, adding: addend).array(),
          "heads, \(backSide)")
      }
      let heads = try own.heads(key("h")), merged = try heads.moved(in: context)
      let start = try Tensor.normal([7 + own.columns * own.width + own.columns + own.width], key: key("s"))
      let end = 7 + own.columns * own.width
      var (got, expected) = (start, start)
      try context.accumulateProduct(ofTransposed: heads, x, into: &got, at: 7, rowSumsAt: end)
      try context.gemm(
        merged, .transposed, x, .plain, into: &expected, at: 7, accumulate: true, rowSumsAt: end)
      #expect(got.array() == expected.array(), "heads transposed")
      sums.append(got.array())
      (got, expected) = (start, start)
      try context.accumulateProduct(ofTransposed: x, heads, into: &got, at: 7, rowSumsAt: end)
      try context.gemm(
        x, .transposed, merged, .plain, into: &expected, at: 7, accumulate: true, rowSumsAt: end)
      #expect(got.array() == expected.array(), "times heads")
      sums.append(got.array())
    }
    // Three workers share slices of k.
    #expect(sums[0] == sums[2] && sums[1] == sums[3], "the bits of one worker")
  }

  /// The products of a layer ask for no block but those of their results and of packed weights.
  @Test func nothingIsMoved() throws {
    let set = InstructionSet.default
    guard set != .portable else { return }
    let own = Self.cases[0], key = RandomKey(seed: 6)
    let x = try own.rows(own.width, key("x")), w = try Tensor.normal([own.columns, own.width], key: key("w"))
    let ledger = MemoryLedger(recycles: true)
    let context = ExecutionContext(threads: 1, instructionSet: set, ledger: ledger)
    let columns = own.parts.map { HeadColumns(heads: $0.heads, dim: $0.dim) }
    let heads = try context.matmul(x, w, .transposed, batch: own.batch, into: columns)
    let results = heads.reduce(0) { $0 + 4 * $1.count }
    #expect(results == 4 * own.batch * own.length * own.columns)
    #expect(ledger.peakBytes <= results + 4 * w.count + 4096, "packed weights beside the result")
    _ = try context.matmul(HeadMatrix(heads), w, .plain)
    #expect(ledger.peakBytes <= results + max(4 * w.count, 4 * x.count) + 8192)
  }
}
