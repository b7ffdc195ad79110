import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// What a pyramid is beside its definition: the conformance check compares the two.
@Suite struct PyramidTests {
  static let key = RandomKey(seed: 5)

  static func inputs(_ shape: AttentionShape, value: Float? = nil) throws -> Operands {
    let count = shape.valueShape.reduce(1, *)
    return Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try value.map { try Tensor([Float](repeating: $0, count: count), shape: shape.valueShape) }
        ?? .normal(shape.valueShape, key: key("v")))
  }

  static func forward(_ window: Int, _ shape: AttentionShape, _ inputs: Operands) throws -> Forward {
    try Pyramid(.init(window: window), for: shape, key: key).attend(
      inputs, in: ExecutionContext(threads: 1))
  }

  static let lengths = [1, 2, 63, 64, 65, 257]

  @Test("values that are all equal come out equal, to rounding", arguments: lengths, [true, false])
  func constants(length: Int, isCausal: Bool) throws {
    for lengths in [nil, [length, (length + 1) / 2]] {
      let shape = try AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: length, headDim: 8, isCausal: isCausal,
        keyLengths: lengths)
      let output = try Self.forward(4, shape, Self.inputs(shape, value: 0.7)).output.array()
      #expect(output.allSatisfy { abs($0 - 0.7) <= 4 * Float(0.7).ulp })
    }
  }

  @Test(
    "keys that are all equal weigh what they would singly: the output is that of full attention",
    arguments: lengths)
  func equalKeys(length: Int) throws {
    let shape = try AttentionShape(queryLength: length, headDim: 8, isCausal: true)
    var inputs = try Self.inputs(shape)
    inputs.key = try Tensor([Float](repeating: 0.3, count: length * 8), shape: shape.keyShape)
    let (own, full) = (
      try Self.forward(2, shape, inputs),
      try FullAttention(.init(), for: shape, key: Self.key).attend(inputs, in: ExecutionContext(threads: 1))
    )
    for (a, b) in zip(own.output.array(), full.output.array()) { #expect(abs(a - b) < 2e-6) }
    for (a, b) in zip(own.lse?.array() ?? [], full.lse?.array() ?? []) { #expect(abs(a - b) < 1e-5) }
  }

  @Test("a window as wide as the sequence is full attention", arguments: lengths)
  func wideWindow(length: Int) throws {
    for isCausal in [false, true] {
      let shape = try AttentionShape(queryLength: length, headDim: 8, isCausal: isCausal)
      let inputs = try Self.inputs(shape)
      let own = try Pyramid(.init(window: length), for: shape, key: Self.key)
      let full = try FullAttention(.init(), for: shape, key: Self.key)
      #expect(own.cost(of: .forward).neededPairs == full.cost(of: .forward).neededPairs)
      let outputs = [
        try own.attend(inputs, in: ExecutionContext(threads: 1)),
        try full.attend(inputs, in: ExecutionContext(threads: 1)),
      ].map { $0.output.array() }
      for (a, b) in zip(outputs[0], outputs[1]) { #expect(abs(a - b) < 2e-6) }
    }
  }

  @Test("what a query sees: the window, then means of 2, 4, 8 keys, each key once")
  func blocks() throws {
    let shape = try AttentionShape(queryLength: 64, headDim: 4, isCausal: true)
    let pyramid = try Pyramid(.init(window: 4), for: shape, key: Self.key)
    let definition = try #require(try pyramid.definition(of: Self.inputs(shape)) as? any PairDefinition)
    let counts = (0..<64).map { definition.multiplicity(0, 0, 63, $0) }
    #expect(counts.reduce(0, +) == 64)
    // The query's position and three before it singly; blocks of 2 end 4 before, of 4 end 8 before, of 8 end 16 before, …
    #expect(Array(counts[56...]) == [2, 0, 2, 0, 1, 1, 1, 1])
    #expect(Array(counts[48..<56]) == [4, 0, 0, 0, 4, 0, 0, 0])
    #expect([0, 16, 32, 40].map { counts[$0] } == [16, 16, 8, 8])
    let causal = (0..<64).map { definition.multiplicity(0, 0, 30, $0) }
    #expect(causal.reduce(0, +) == 31 && causal[31...].allSatisfy { $0 == 0 })
    // Twice the sequence is a level more, not twice the pairs a query.
    func pairs(_ n: Int) throws -> Double {
      let shape = try AttentionShape(queryLength: n, headDim: 4, isCausal: true)
      return try #require(
        try Pyramid(.init(window: 16), for: shape, key: Self.key).cost(of: .forward).neededPairs)
        / Double(n)
    }
    let growth = try pairs(4096) - pairs(2048)
    #expect(growth > 6 && growth < 10, "window/2 pairs a level: \(growth)")
  }

  @Test func aSoftCapIsRefusedInOneLine() throws {
    let shape = try AttentionShape(queryLength: 8, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make("pyramid", settings: ["softcap": .double(3)], shape: shape, key: Self.key)
    }
    #expect(
      error?.description
        == "softcap: 3.0 is not allowed; it takes none with pyramid: it would bound how often a mean counts")
  }
}
