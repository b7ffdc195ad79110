import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention

/// Scores that go by the distance of query and key: T5's bias, Transformer-XL's score.
@Suite struct DistanceScoreTests {
  static let scores: [[String: ParameterValue]] = [
    ["bias": .string("t5"), "bias_buckets": .int(8), "bias_distance": .int(20)],
    ["score": .string("relative")],
    ["score": .string("relative"), "clamp_length": .int(9)],
    ["score": .string("additive"), "bias": .string("t5")],
  ]

  @Test("each on every instruction set over a window with first keys", arguments: scores)
  func instructionSets(_ settings: [String: ParameterValue]) throws {
    let type = try Catalog.standard.type(of: "sliding-window")
    let window: [String: ParameterValue] = ["left": .int(20), "right": .int(9), "sinks": .int(2)]
    checkVariant(
      type, .quick, settings: settings.merging(window) { $1 }, instructionSets: InstructionSet.available)
  }

  @Test(
    "each on rows that do not follow one another, which read tables by distance one by one", arguments: scores
  )
  func dilated(_ settings: [String: ParameterValue]) throws {
    let type = try Catalog.standard.type(of: "sliding-window")
    let window: [String: ParameterValue] = ["left": .int(6), "right": .int(6), "dilation": .int(3)]
    checkVariant(type, .quick, settings: settings.merging(window) { $1 })
  }

  @Test("bfloat16 inputs are up-converted", arguments: scores.prefix(2))
  func bfloat16(_ settings: [String: ParameterValue]) throws {
    let report = Conformance(try Catalog.standard.type(of: "full"), precision: .bfloat16).run(
      .quick, settings: settings)
    #expect(report.passed, "\(report.failures.first?.description ?? "nothing passed")")
  }

  @Test("a relative score whose W and u are 0 is the product, forward and backward")
  func withoutDistances() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 70, headDim: 16, isCausal: true)
    var inputs = Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 1)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 2)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 3)))
    let context = ExecutionContext(threads: 2)
    let plain = try Catalog.standard.make("full", shape: shape, key: RandomKey(seed: 1))
    let expected = try plain.attend(inputs, in: context)
    let relative = try Catalog.standard.make(
      "full", settings: ["score": .string("relative")], shape: shape, key: RandomKey(seed: 1))
    for operand in RelativeScore.operands(untie: false) {
      inputs[operand.name] = try Tensor(zeros: operand.extents(at: shape))
    }
    let result = try relative.attend(inputs, in: context)
    func close(_ a: Tensor?, _ b: Tensor?) -> Bool {
      zip(a?.array() ?? [.nan], b?.array() ?? []).allSatisfy { ($0 - $1).magnitude < 1e-5 }
    }
    #expect(close(result.output, expected.output) && close(result.lse, expected.lse))
    let dO = try Tensor.normal(shape.outputShape, key: RandomKey(seed: 4))
    let (a, b) = (try result.backward(dO, in: context), try expected.backward(dO, in: context))
    for name in b.names { #expect(close(a[name], b[name]), "\(name)") }
  }

  /// Hugging Face's `T5Attention._relative_position_bucket`, for a key 0, 1, 2 … tokens before the query, and after it.
  @Test("buckets are those of T5")
  func buckets() {
    let causal = DistanceBuckets(count: 32, distance: 128, isCausal: true)
    #expect([0, 1, 15, 16, 20, 31, 64, 127, 128, 5000].map { causal.bucket($0) } == Self.causalBuckets)
    #expect(causal.bucket(-3) == 0)
    let both = DistanceBuckets(count: 32, distance: 128, isCausal: false)
    #expect([0, 1, 7, 8, 12, 40, 128].map { both.bucket($0) } == Self.earlierBuckets)
    #expect([-1, -7, -8, -16, -40, -128].map { both.bucket($0) } == Self.laterBuckets)
  }
  static let causalBuckets = [0, 1, 15, 16, 17, 21, 26, 31, 31, 31]
  static let earlierBuckets = [0, 1, 7, 8, 9, 12, 15]
  static let laterBuckets = [17, 23, 24, 26, 28, 31]

  static let reasons = [
    "lsh": "say nothing of another score", "full-materialized": "one product",
    "pyramid": "a mean of keys has no distance", "adaptive-span": "already",
  ]

  @Test("what has no tiles before q and k says why it refuses them", arguments: reasons.keys.sorted(), scores)
  func refused(_ id: String, _ settings: [String: ParameterValue]) throws {
    let shape = try AttentionShape(queryLength: 8, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1))
    }
    let reason = Self.reasons[id] ?? ""
    #expect(error?.allowed.contains(" with \(id): ") == true && error?.allowed.contains(reason) == true)
  }

  @Test("a clamp beyond every distance changes nothing but the rounding of a join, and a near one does")
  func clamps() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 40, headDim: 8)
    var inputs = Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 1)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 2)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 3)))
    for operand in RelativeScore.operands(untie: false) {
      inputs[operand.name] = try operand.drawn(at: shape, key: RandomKey(seed: 5)(operand.shortName))
    }
    func output(_ clamp: Int?) throws -> [Float] {
      var settings: [String: ParameterValue] = ["score": .string("relative")]
      if let clamp { settings["clamp_length"] = .int(clamp) }
      let variant = try Catalog.standard.make(
        "full", settings: settings, shape: shape, key: RandomKey(seed: 1))
      return try variant.attend(inputs, in: ExecutionContext(threads: 2)).output.array()
    }
    let plain = try output(nil)
    func distance(_ clamp: Int) throws -> Float {
      zip(try output(clamp), plain).map { ($0 - $1).magnitude }.max() ?? .infinity
    }
    #expect(try distance(40) == 0 && distance(39) == 0)
    #expect(try distance(3) > 1e-3)
  }
}
