import Attention
import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

/// Attention on a graph: what it reduces to, which edges it takes, and that its passes are the same on any number of threads.
@Suite struct GraphAttentionTests {
  private func make(
    _ settings: [String: ParameterValue], _ shape: AttentionShape, seed: UInt64 = 1
  ) throws -> GraphAttention {
    try GraphAttention.make(settings: settings, shape: shape, key: RandomKey(seed: seed))
  }

  private func inputs(_ variant: GraphAttention, _ edges: EdgeList? = nil) throws -> Operands {
    let key = RandomKey(seed: 3)
    func draw(_ operand: Operand) throws -> Tensor {
      try operand.drawn(at: variant.shape, key: key(operand.shortName))
    }
    var inputs = Operands(query: try draw(.query), key: try draw(.key), value: try draw(.value))
    for operand in variant.operands where !operand.isStandard && operand.source != .edges {
      inputs[operand.name] = try draw(operand)
    }
    inputs.graphs["edges"] = edges
    return inputs
  }

  private func worst(_ a: Tensor, _ b: Tensor) -> Float {
    zip(a.array(), b.array()).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
  }

  @Test("a complete graph with the dot score is full attention")
  func completeGraph() throws {
    let shape = try AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 65, headDim: 16)
    let pairs = (0..<Int32(65)).flatMap { target in (0..<Int32(65)).map { ($0, target) } }
    let edges = EdgeList(sources: pairs.map(\.0), targets: pairs.map(\.1))
    let variant = try make(["score": .string("dot"), "self_loops": .bool(false)], shape)
    let full = try FullAttention.make(settings: [:], shape: shape, key: RandomKey(seed: 1))
    let inputs = try inputs(variant, edges)
    let gradient = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4))
    let context = ExecutionContext(threads: 2)
    let found = try variant.attend(inputs, in: context), expected = try full.attend(inputs, in: context)
    #expect(worst(found.output, expected.output) < 1e-6)
    let (sums, exact) = try (#require(found.lse), #require(expected.lse))
    #expect(worst(sums, exact) < 1e-5)
    let (a, b) = try (found.backward(gradient, in: context), expected.backward(gradient, in: context))
    for name in [Operand.Name.query, .key, .value] {
      let (own, other) = try (#require(a[name]), #require(b[name]))
      #expect(worst(own, other) < 2e-5, "\(name)")
    }
  }

  @Test(
    "graphs of many parts have the same bits on any number of threads",
    arguments: GraphAttention.Score.allCases)
  func threads(_ score: GraphAttention.Score) throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 3000, headDim: 8)
    let variant = try make(["score": .string(score.rawValue)], shape)
    let inputs = try inputs(variant), gradient = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4))
    func run(_ threads: Int) throws -> [[UInt32]] {
      let context = ExecutionContext(threads: threads)
      let forward = try variant.attend(inputs, in: context)
      let back = try forward.backward(gradient, in: context)
      return ([forward.output] + [forward.lse].compactMap(\.self) + back.names.compactMap { back[$0] })
        .map { $0.array().map(\.bitPattern) }
    }
    let one = try run(1)
    for threads in [2, 3, 7] {
      #expect(try run(threads) == one, "\(threads) threads")
    }
  }

  @Test("rows without an edge are 0 and have no gradient; edges from padding do not count")
  func isolatedRows() throws {
    let shape = try AttentionShape(queryLength: 4, headDim: 8, keyLengths: [3])
    let variant = try make(["score": .string("gatv2"), "self_loops": .bool(false)], shape)
    // Node 1 hears from padding alone, node 2 from nobody.
    let edges = EdgeList(sources: [0, 3, 1, 0], targets: [0, 1, 3, 3])
    let inputs = try inputs(variant, edges)
    let forward = try variant.attend(inputs, in: ExecutionContext())
    #expect(try #require(forward.lse).array()[1...2] == [-.infinity, -.infinity])
    let output = forward.output.array()
    #expect(output[8..<24].allSatisfy { $0 == 0 })
    // One edge has all the weight.
    #expect(Array(output[0..<8]) == Array(inputs.key.array()[0..<8]))
    let gradient = try forward.backward(
      Tensor.normal(shape.outputShape, key: RandomKey(seed: 4)), in: ExecutionContext())
    #expect(gradient.query.array()[0..<24].allSatisfy { $0 == 0 })
    #expect(gradient.key.array()[16...].allSatisfy { $0 == 0 })
  }

  @Test(
    "edges that do not fit are refused in one line",
    arguments: [
      ([5], [0], "keep", "edge 0, 5 → 0"), ([0, 1], [0, 4], "keep", "edge 1, 1 → 4"),
      ([1, 2, 1], [0, 0, 0], "refuse", "edge 2, 1 → 0, which edge 0 is already"),
    ] as [([Int32], [Int32], String, String)])
  func refusals(sources: [Int32], targets: [Int32], duplicates: String, problem: String) throws {
    let variant = try make(
      ["duplicates": .string(duplicates)], try AttentionShape(queryLength: 4, keyLength: 5, headDim: 8))
    let inputs = try inputs(variant, EdgeList(sources: sources, targets: targets))
    #expect {
      _ = try variant.attend(inputs, in: ExecutionContext())
    } throws: {
      "\($0)".contains(problem) && !"\($0)".contains("\n")
    }
  }

  @Test("an edge that stands twice counts twice, or once")
  func duplicates() throws {
    let shape = try AttentionShape(queryLength: 3, headDim: 8)
    func lse(_ duplicates: String, _ edges: EdgeList) throws -> Float {
      let variant = try make(
        ["score": .string("dot"), "self_loops": .bool(false), "duplicates": .string(duplicates)], shape)
      let forward = try variant.attend(inputs(variant, edges), in: ExecutionContext())
      return try #require(forward.lse).array()[1]
    }
    let once = EdgeList(sources: [0], targets: [1]), twice = EdgeList(sources: [0, 0], targets: [1, 1])
    let single = try lse("keep", once)
    #expect(try abs(lse("keep", twice) - single - 0.693147) < 1e-5)
    #expect(try lse("drop", twice) == single)
    #expect(try lse("refuse", once) == single)
  }

  @Test("the ledger stays within the closed form", arguments: GraphAttention.Score.allCases)
  func memory(_ score: GraphAttention.Score) throws {
    let shape = try AttentionShape(queryHeads: 4, queryLength: 2000, headDim: 16)
    let variant = try make(["score": .string(score.rawValue)], shape)
    let inputs = try inputs(variant), gradient = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4))
    let ledger = MemoryLedger()
    let context = ExecutionContext(threads: 1, ledger: ledger)
    let forward = try variant.attend(inputs, in: context)
    let results = Double(4 * (forward.output.count + shape.lseShape.reduce(1, *)))
    let cost = variant.cost(of: .forward)
    #expect(Double(ledger.peakBytes) <= cost.workspaceBytes + results)
    #expect(Double(ledger.peakBytes) >= results)
    ledger.resetPeak()
    _ = try forward.backward(gradient, in: context)
    let back = variant.cost(of: .backward)
    let gradients = shape.gradientBytes(Operand.all(variant.operands))
    #expect(Double(ledger.peakBytes) <= back.workspaceBytes + results + gradients + 1024)
    // Nothing of edges × dim: that would be 4 · edges · 16.
    #expect(back.workspaceBytes < 2 * 4 * (cost.neededPairs ?? 0))
  }
}
