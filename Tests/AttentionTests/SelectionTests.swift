import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// Blocks of keys that are chosen by data, apart from the check against the definition that all variants pass.
@Suite struct SelectionTests {
  static func inputs(_ shape: AttentionShape, seed: UInt64 = 1) throws -> Operands {
    let key = RandomKey(seed: seed)
    return Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
  }

  static func close(_ a: Tensor?, _ b: Tensor?, _ bound: Float = 1e-5) -> Bool {
    let (a, b) = (a?.array() ?? [.nan], b?.array() ?? [])
    return a.count == b.count && zip(a, b).allSatisfy { ($0 - $1).magnitude < bound || $0 == $1 }
  }

  @Test(
    "a choice is what sorting gives, of equal scores the first, whatever a row always has",
    arguments: [0, 1, 2, 5, 40], [1, 2, 7, 40])
  func choice(_ count: Int, _ candidates: Int) throws {
    let choice = try RowChoice(count, batch: 1, heads: 1, length: 1, in: ExecutionContext(threads: 1))
    for seed in 0..<20 {
      var generator = RandomKey(seed: UInt64(seed)).generator()
      // Few different numbers: many ties.
      let scores = (0..<candidates).map { _ in Float(generator.integer(below: 5)) }
      for always in [RowChoice.Always(), .init(range: candidates / 2..<candidates / 2 + 1, hasFirst: true)] {
        choice.choose(scores, of: 0..<candidates, always: always, into: choice.slots(0, 0, 0))
        var expected = Array(Set((always.hasFirst ? [0] : []) + always.range)).sorted()
        let others = (0..<candidates).filter { !expected.contains($0) }
          .sorted { (-scores[$0], $0) < (-scores[$1], $1) }
        expected = Array((expected + others).prefix(count)).sorted()
        #expect(choice.items(0, 0, 0).map { Int($0) } == expected)
      }
    }
    choice.choose([.nan, 1, .infinity, 2], of: 0..<4, sign: 1, into: choice.slots(0, 0, 0))
    #expect(Set(choice.items(0, 0, 0).prefix(count)).isSuperset(of: count == 2 ? [0, 2] : []))
  }

  /// The blocks of a row by sorting products with means in Double; `nil` where two scores are too near to tell.
  private func expected(
    _ shape: AttentionShape, _ inputs: Operands, size: Int, count: Int, _ row: DefinitionRow
  )
    -> [Int]?
  {
    let valid = shape.validKeys(batch: row.batch), position = row.query + shape.queryOffset
    guard position >= 0 else { return [] }
    var scores: [(score: Double, block: Int)] = []
    for block in 0..<(valid + size - 1) / size {
      if block == position / size {
        scores.append((.infinity, block))
        continue
      }
      if shape.isCausal, block * size > position { continue }
      let keys = block * size..<min(valid, (block + 1) * size)
      let sum = keys.reduce(0.0) { sum, key in
        (0..<shape.headDim).reduce(sum) {
          $0 + Double(inputs.query[row.batch, row.head, row.query, $1])
            * Double(inputs.key[row.batch, shape.keyHead(of: row.head), key, $1])
        }
      }
      scores.append((sum / Double(keys.count), block))
    }
    scores.sort { ($1.score, $0.block) < ($0.score, $1.block) }
    if scores.count > count, scores[count - 1].score - scores[count].score < 1e-5 { return nil }
    return scores.prefix(count).map(\.block).sorted()
  }

  static let shapes: [AttentionShape] = {
    let all = [
      try? AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 70, headDim: 24, isCausal: true,
        keyLengths: [70, 41]),
      try? AttentionShape(queryHeads: 2, queryLength: 65, headDim: 8),
      try? AttentionShape(queryLength: 33, keyLength: 90, headDim: 16, isCausal: true),
      try? AttentionShape(queryLength: 33, keyLength: 90, headDim: 16),
      try? AttentionShape(queryLength: 3, keyLength: 64, headDim: 16, isCausal: true),
    ]
    return all.compactMap(\.self)
  }()

  @Test(
    "moba takes its own block and those of the largest products with mean keys, sorted in Double",
    arguments: shapes, [1, 3, 20])
  func mobaChoice(_ shape: AttentionShape, _ count: Int) throws {
    let inputs = try Self.inputs(shape), size = 10
    let moba = try MoBA(.init(blockSize: size, blocks: count), for: shape, key: RandomKey(seed: 1))
    let choice = try moba.chosen(inputs, in: ExecutionContext(threads: 2))
    var ties = 0
    for row in shape.definitionRows {
      guard let expected = expected(shape, inputs, size: size, count: count, row) else {
        ties += 1
        continue
      }
      #expect(choice.items(row.batch, row.head, row.query).map { Int($0) } == expected, "\(row)")
    }
    #expect(ties < 3)
  }

  @Test(
    "quest takes the pages within whose bounds a product could be largest, sorted in Double; every row as if it were the last",
    arguments: shapes, [1, 3, 20])
  func questChoice(_ shape: AttentionShape, _ count: Int) throws {
    let inputs = try Self.inputs(shape), size = 10
    let quest = try Quest(.init(pageSize: size, pages: count), for: shape, key: RandomKey(seed: 1))
    let choice = try quest.chosen(inputs, in: ExecutionContext(threads: 2))
    var ties = 0
    for row in shape.definitionRows {
      let visible = shape.visibleKeys(batch: row.batch, row: row.query)
      let scores = stride(from: 0, to: visible, by: size).map { first in
        (0..<shape.headDim).reduce(0.0) { sum, t in
          let q = Double(inputs.query[row.batch, row.head, row.query, t])
          let products = (first..<min(visible, first + size)).map {
            q * Double(inputs.key[row.batch, shape.keyHead(of: row.head), $0, t])
          }
          return sum + (products.max() ?? 0)
        }
      }
      let order = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }
      if order.count > count, scores[order[count - 1]] - scores[order[count]] < 1e-5 {
        ties += 1
        continue
      }
      #expect(
        choice.items(row.batch, row.head, row.query).map { Int($0) } == order.prefix(count).sorted(), "\(row)"
      )
    }
    #expect(ties < 3)
  }

  @Test("as many blocks as there are give full attention, forward and backward", arguments: [64, 13])
  func allBlocks(_ size: Int) throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 129, headDim: 16, isCausal: true)
    let inputs = try Self.inputs(shape), context = ExecutionContext(threads: 2)
    let full = try FullAttention(.init(), for: shape, key: RandomKey(seed: 1)).attend(inputs, in: context)
    let moba = try MoBA(.init(blockSize: size, blocks: 10), for: shape, key: RandomKey(seed: 1)).attend(
      inputs, in: context)
    #expect(Self.close(full.output, moba.output) && Self.close(full.lse, moba.lse))
    let (a, b) = (
      try full.backward(full.output, in: context), try moba.backward(full.output, in: context)
    )
    for name in a.names { #expect(Self.close(a[name], b[name], 1e-4), "\(name)") }
  }

  @Test("what no row selected has no gradient")
  func selectedAlone() throws {
    // The keys of block 1 point away from all queries, and rows of blocks 2 and 3 take one block beside their own.
    let shape = try AttentionShape(queryLength: 64, headDim: 4, isCausal: true)
    var inputs = try Self.inputs(shape)
    let first = (0..<256).map { (place: Int) -> Float in place % 4 == 0 ? 1 : 0 }
    let away = (0..<256).map { (place: Int) -> Float in
      if place % 4 == 0 { return place / 64 == 1 ? -1 : 1 }
      return 0.1 * Float(place % 7)
    }
    inputs.query = try Tensor(first, shape: shape.queryShape)
    inputs.key = try Tensor(away, shape: shape.keyShape)
    let moba = try MoBA(.init(blockSize: 16, blocks: 2), for: shape, key: RandomKey(seed: 1))
    let context = ExecutionContext(threads: 1)
    var gradient = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4)).array()
    for place in 0..<32 * 4 { gradient[place] = 0 }
    let result = try moba.attend(inputs, in: context).backward(
      try Tensor(gradient, shape: shape.outputShape), in: context)
    for name in [Operand.Name.key, .value] {
      let values = result[name]?.array() ?? []
      #expect(values[64..<128].allSatisfy { $0 == 0 } && values[..<64].contains { $0 != 0 })
    }
  }

  @Test("one query against the cache gives the row of the whole pass", arguments: [1, 2, 31, 64, 65, 130])
  func decoding(_ length: Int) throws {
    let whole = try AttentionShape(
      queryHeads: 4, keyHeads: 2, queryLength: length, headDim: 16, isCausal: true)
    let one = try AttentionShape(
      queryHeads: 4, keyHeads: 2, queryLength: 1, keyLength: length, headDim: 16, isCausal: true)
    let inputs = try Self.inputs(whole), context = ExecutionContext(threads: 2)
    var last = inputs
    last.query = try inputs.query.narrowed(axis: 2, to: length - 1..<length).copied(ledger: nil)
    func variants(_ shape: AttentionShape) throws -> [any AttentionVariant] {
      [
        try MoBA(.init(blockSize: 16, blocks: 3), for: shape, key: RandomKey(seed: 1)),
        try Quest(.init(pageSize: 16, pages: 3), for: shape, key: RandomKey(seed: 1)),
      ]
    }
    for (all, alone) in zip(try variants(whole), try variants(one)) {
      let row = try all.attend(inputs, in: context).output.narrowed(axis: 2, to: length - 1..<length)
      #expect(Self.close(try alone.attend(last, in: context).output, row.contiguous()), "\(all.card.id)")
    }
  }

  @Test(
    "no list and no table grows with the square of the length, and the closed form covers what is allocated")
  func memory() throws {
    for length in [1024, 4096] {
      let shape = try AttentionShape(queryHeads: 2, queryLength: length, headDim: 8, isCausal: true)
      let inputs = try Self.inputs(shape), ledger = MemoryLedger()
      let context = ExecutionContext(threads: 1, ledger: ledger)
      let moba = try MoBA(.init(blockSize: 64, blocks: 4), for: shape, key: RandomKey(seed: 1))
      let forward = try moba.forward(inputs, in: context)
      let cost = moba.cost(of: .forward), results = cost.inputOutputBytes - shape.inputBytes
      #expect(Double(ledger.peakBytes) <= 1.05 * (cost.workspaceBytes + results), "\(length) forward")
      #expect(
        cost.workspaceBytes < 3 * (Double(ledger.peakBytes) - results), "\(length): the form is far off")
      _ = try forward.backward(forward.output, in: context)
      let back = moba.cost(of: .backward)
      #expect(
        Double(ledger.peakBytes) <= 1.05
          * (back.workspaceBytes + results + shape.gradientBytes(Operand.standard)),
        "\(length) backward")
      #expect(cost.choiceFlops > 0 && cost.choiceFlops < cost.flops && back.choiceFlops == 0)
    }
  }

  @Test("the closed form counts the pairs that the definition and the tiles count", arguments: [1, 2, 3, 20])
  func pairs(_ count: Int) throws {
    for shape in Self.shapes
    where shape.keyLengths == nil && (shape.isCausal || shape.keyLength % 10 == 0) {
      let inputs = try Self.inputs(shape)
      let moba = try MoBA(.init(blockSize: 10, blocks: count), for: shape, key: RandomKey(seed: 1))
      let definition = try #require(try moba.definition(of: inputs) as? any PairDefinition)
      let needed = shape.definitionRows.reduce(0) { $0 + definition.pairCount(of: $1) }
      let cost = moba.cost(of: .forward)
      #expect(cost.neededPairs == Double(needed), "\(shape)")
      let pattern = try moba.pattern(for: inputs, in: ExecutionContext(threads: 1))
      #expect(cost.executedPairs == Engine.executedPairs(shape: shape, pattern: pattern), "\(shape)")
    }
  }
}
