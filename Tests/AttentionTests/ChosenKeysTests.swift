import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// Keys that every row chooses by its scores: top-k softmax and hard attention.
@Suite struct ChosenKeysTests {
  private func inputs(_ shape: AttentionShape) throws -> Operands {
    Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 1)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 2)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 3)))
  }

  @Test(
    "chosen keys are those of the largest scores, sorted in Double", arguments: [1, 3, 20], [false, true])
  func choice(_ count: Int, _ isCausal: Bool) throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 70, headDim: 24, isCausal: isCausal,
      keyLengths: [70, 41])
    let inputs = try inputs(shape)
    let keys = try TopKeys(count, of: inputs, shape: shape, scale: 1, in: ExecutionContext(threads: 2))
    let definition = SoftmaxDefinition(
      shape: shape, multiplicity: { _, _, query, key in isCausal && key > query ? 0 : 1 })
    let wide = DefinitionInputs(inputs)
    for row in shape.definitionRows {
      let pairs = definition.pairs(of: row, wide).sorted { $0.score > $1.score }
      let expected = pairs.prefix(count).compactMap(\.key).sorted()
      #expect(keys.keys(row.batch, row.head, row.query).map { Int($0) } == expected)
    }
  }

  @Test("of equal scores the first are chosen, by a negative scale those of the smallest products")
  func ties() throws {
    let shape = try AttentionShape(queryLength: 2, keyLength: 6, headDim: 1)
    let inputs = Operands(
      query: try Tensor([1, 0], shape: shape.queryShape),
      key: try Tensor([2, 5, 5, 1, 5, 1], shape: shape.keyShape), value: try Tensor(zeros: shape.valueShape))
    func keys(_ scale: Double) throws -> [[Int32]] {
      let chosen = try TopKeys(2, of: inputs, shape: shape, scale: scale, in: ExecutionContext(threads: 1))
      return (0..<2).map { Array(chosen.keys(0, 0, $0)) }
    }
    #expect(try keys(1) == [[1, 2], [0, 1]])
    #expect(try keys(-1) == [[3, 5], [0, 1]])
  }

  @Test("as many keys as there are give full attention, forward and backward")
  func allKeys() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 65, headDim: 16, isCausal: true)
    let inputs = try inputs(shape), context = ExecutionContext(threads: 2)
    let full = try FullAttention(.init(), for: shape, key: RandomKey(seed: 1)).attend(inputs, in: context)
    let all = try TopKAttention(.init(keys: 65), for: shape, key: RandomKey(seed: 1)).attend(
      inputs, in: context)
    func close(_ a: Tensor?, _ b: Tensor?) -> Bool {
      zip(a?.array() ?? [.nan], b?.array() ?? []).allSatisfy { ($0 - $1).magnitude < 1e-5 }
    }
    #expect(close(full.output, all.output) && close(full.lse, all.lse))
    let (a, b) = (
      try full.backward(full.output, in: context), try all.backward(full.output, in: context)
    )
    for name in a.names { #expect(close(a[name], b[name]), "\(name)") }
  }

  @Test("hard attention takes the best key's value, and its scores learn as those of the softmax do")
  func straightThrough() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 33, headDim: 16, isCausal: true)
    let inputs = try inputs(shape), context = ExecutionContext(threads: 2)
    let full = try FullAttention(.init(), for: shape, key: RandomKey(seed: 1)).attend(inputs, in: context)
    let hard = try HardAttention(.init(), for: shape, key: RandomKey(seed: 1)).attend(inputs, in: context)
    let one = try TopKAttention(.init(keys: 1), for: shape, key: RandomKey(seed: 1)).attend(
      inputs, in: context)
    #expect(hard.output.array() == one.output.array())
    let dO = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4))
    let (a, b) = (try full.backward(dO, in: context), try hard.backward(dO, in: context))
    #expect(a.query.array() == b.query.array() && a.key.array() == b.key.array())
    #expect(b.value.array() == (try one.backward(dO, in: context)).value.array())
  }

  @Test(
    "what a choice computes is no padding: a forecast would multiply by it", arguments: ["top-k", "hard"])
  func forecast(_ id: String) throws {
    let shape = try AttentionShape(queryLength: 2048, headDim: 16)
    let chosen = try Catalog.standard.make(id, shape: shape, key: RandomKey(seed: 1))
    let full = try Catalog.standard.make("full", shape: shape, key: RandomKey(seed: 1))
    for pass in [PassKind.forward, .backward] {
      let cost = chosen.cost(of: pass)
      #expect(cost.paddingOverhead == 1 && cost.flops < 2 * full.cost(of: pass).flops)
    }
  }
}
