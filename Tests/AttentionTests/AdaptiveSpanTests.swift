import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// What an adaptive span is beside its definition: the conformance check compares the two.
@Suite struct AdaptiveSpanTests {
  static let key = RandomKey(seed: 5)

  static func inputs(_ shape: AttentionShape, spans: [Float]) throws -> Operands {
    var inputs = Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
    inputs[AdaptiveSpan.spanName] = try Tensor(spans, shape: [spans.count])
    return inputs
  }

  @Test(
    "a span of the whole length is its window, to the last bit of the tiles and to rounding of a bias of 0",
    arguments: [1, 2, 63, 64, 65, 257], [true, false])
  func wholeSpanIsItsWindow(length: Int, isCausal: Bool) throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: length, headDim: 8, isCausal: isCausal)
    let context = ExecutionContext(threads: 1)
    for current in isCausal ? [true, false] : [true] {
      let configuration = AdaptiveSpan.Configuration(span: 40, ramp: 8, current: current)
      let inputs = try Self.inputs(shape, spans: [1, 1])
      let own = try AdaptiveSpan(configuration, for: shape, key: Self.key)
      let window = try SlidingWindow(.init(left: 39, right: 39), for: shape, key: Self.key)
      let ownPairs = own.pattern(for: inputs, in: context).neededPairs(at: shape)
      guard current else {
        // As many keys, but one further back; the first row has none.
        #expect(ownPairs == Double(2 * (0..<length).reduce(0) { $0 + min($1, 40) }))
        continue
      }
      #expect(ownPairs == window.cost(of: .forward).neededPairs)
      let results = try [own.attend(inputs, in: context), window.attend(inputs, in: context)]
      let gradients = try results.map {
        try $0.backward(.normal(shape.outputShape, key: Self.key("dO")), in: context)
      }
      for (a, b) in zip(results[0].output.array(), results[1].output.array()) { #expect(abs(a - b) < 2e-6) }
      for name in [Operand.Name.query, .key, .value] {
        let pairs = zip(gradients[0][name]?.array() ?? [], gradients[1][name]?.array() ?? [])
        for (a, b) in pairs { #expect(abs(a - b) < 1e-5) }
      }
      #expect(gradients[0][AdaptiveSpan.spanName]?.array() == [0, 0], "the flat side of the ramp")
    }
  }

  @Test("tiles follow the span of each head: what lies beyond is not computed")
  func tilesFollowSpans() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 1024, headDim: 8, isCausal: true)
    let variant = try AdaptiveSpan(.init(span: 512, ramp: 32), for: shape, key: Self.key)
    func executed(_ spans: [Float]) throws -> Double {
      let inputs = try Self.inputs(shape, spans: spans)
      return Engine.executedPairs(
        shape: shape, pattern: variant.pattern(for: inputs, in: ExecutionContext()))
    }
    let (short, mixed, long) = (try executed([0, 0]), try executed([0, 1]), try executed([1, 1]))
    #expect(short < long / 5, "\(short) of \(long)")
    #expect(mixed == (short + long) / 2)
    #expect(variant.cost(of: .forward).executedPairs == short, "the cost is that of the start")
    // The same spans find their tiles again, and so do spans that reach the same keys.
    let first = variant.pattern(for: try Self.inputs(shape, spans: [0.5, 0.5]), in: ExecutionContext())
    let bytes = variant.planBytes
    let again = variant.pattern(for: try Self.inputs(shape, spans: [0.49999, 0.5]), in: ExecutionContext())
    #expect(first == again && variant.planBytes == bytes)
  }

  @Test("a key on the ramp counts in part: two keys with equal scores share their weight as m says")
  func ramp() throws {
    let shape = try AttentionShape(queryLength: 2, headDim: 1, isCausal: true)
    let variant = try AdaptiveSpan(.init(span: 8, ramp: 4), for: shape, key: Self.key)
    var inputs = try Self.inputs(shape, spans: [0])
    inputs.query = try Tensor([0, 0], shape: shape.queryShape)
    inputs.value = try Tensor([1, 0], shape: shape.valueShape)
    let forward = try variant.attend(inputs, in: ExecutionContext(threads: 1))
    // m(0) = 1 and m(1) = 3/4: the second row takes 3/7 of the first key's value.
    #expect(abs(forward.output.array()[1] - 3.0 / 7) < 1e-6)
    let gradient = try forward.backward(
      Tensor([0, 1], shape: shape.outputShape), in: ExecutionContext(threads: 1))
    // d/dz [m/(1 + m)] = (S/R) / (1 + m)².
    let slope = try #require(gradient[AdaptiveSpan.spanName]?.array().first)
    #expect(abs(slope - 2 / (1.75 * 1.75)) < 1e-5)
  }

  @Test func aSoftCapIsRefusedInOneLine() throws {
    let shape = try AttentionShape(queryLength: 8, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make(
        "adaptive-span", settings: ["softcap": .double(3)], shape: shape, key: Self.key)
    }
    #expect(
      error?.description
        == "softcap: 3.0 is not allowed; it takes none with adaptive-span: it would bound how little a key on "
        + "the ramp counts")
  }
}
