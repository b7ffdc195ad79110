import AttentionCore
import Basics
import CKernels
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The settings that every softmax variant takes.
@Suite struct SoftmaxSettingsTests {
  /// All that take the settings; `graph` goes its own way over edges.
  static let softmaxIDs = Catalog.standard.types.filter { $0 is any RowSoftmaxVariant.Type }
    .map { $0.card.id }

  /// Every softmax variant of the catalogue under the settings at work, on every instruction set.
  @Test("sinks and soft caps on every instruction set", arguments: softmaxIDs)
  func instructionSets(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    checkVariant(
      type, .quick, settings: Self.settings(type, sink: "learned", cap: .double(1.5)),
      instructionSets: InstructionSet.available)
    checkVariant(type, .quick, settings: Self.settings(type, sink: "sentinel", cap: .int(4)))
  }

  /// A sink, and a soft cap where the variant takes one.
  private static func settings(
    _ type: any AttentionVariant.Type, sink: String, cap: ParameterValue
  ) -> [String: ParameterValue] {
    let takesSoftcap = (type as? any RowSoftmaxVariant.Type)?.takesSoftcap ?? false
    return takesSoftcap ? ["sink": .string(sink), "softcap": cap] : ["sink": .string(sink)]
  }

  static let patterns = Catalog.standard.types.filter { $0 is any PatternVariant.Type }.map { $0.card.id }

  @Test("additive scores over every pattern, one on every instruction set", arguments: patterns)
  func additive(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    // The kernels are those of every pattern: one goes through all instruction sets.
    let isFirst = id == "sliding-window"
    checkVariant(
      type, .quick, settings: ["score": .string("additive")],
      instructionSets: isFirst ? InstructionSet.available : [.default])
    guard isFirst else { return }
    let exact = Conformance(type, precision: .bfloat16).run(
      .quick, settings: ["score": .string("additive"), "sink": .string("learned"), "softcap": .int(1)])
    #expect(exact.passed, "\(exact.failures.first?.description ?? "nothing passed")")
  }

  @Test("additive scores are refused where they have no meaning", arguments: ["lsh", "full-materialized"])
  func additiveRefused(_ id: String) throws {
    let shape = try AttentionShape(queryLength: 8, headDim: 4)
    #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make(
        id, settings: ["score": .string("additive")], shape: shape, key: RandomKey(seed: 1))
    }
  }

  @Test(
    "sinks and soft caps with bfloat16 inputs",
    arguments: softmaxIDs.filter { Catalog.standard.ids(taking: .bfloat16).contains($0) })
  func bfloat16(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    let report = Conformance(type, precision: .bfloat16).run(
      .quick, settings: Self.settings(type, sink: "sentinel", cap: .double(1.5)))
    #expect(report.passed, "\(report.failures.first?.description ?? "nothing passed")")
  }

  @Test("a variant with every setting at its default is the variant, bit by bit")
  func defaults() throws {
    let shape = try AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 130, headDim: 24, isCausal: true)
    let inputs = Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 1)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 2)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 3)))
    let plain = try SlidingWindow(.init(), for: shape, key: RandomKey(seed: 1))
    let listed = try Catalog.standard.make("sliding-window", shape: shape, key: RandomKey(seed: 1))
    let context = ExecutionContext(threads: 1)
    let (a, b) = (try plain.attend(inputs, in: context), try listed.attend(inputs, in: context))
    #expect(a.output.array() == b.output.array())
    #expect(try #require(a.lse).array() == (try #require(b.lse)).array())
    #expect(listed.configurationSummary == plain.configurationSummary)
    let (da, db) = (try a.backward(a.output, in: context), try b.backward(b.output, in: context))
    for name in da.names { #expect(da[name]?.array() == db[name]?.array()) }
    #expect(db.names == da.names)
  }

  @Test("a logit far below all scores changes nothing, one far above takes all weight")
  func extremeLogits() throws {
    let shape = try AttentionShape(queryLength: 70, headDim: 16, isCausal: true)
    var inputs = Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 1)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 2)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 3)))
    let context = ExecutionContext(threads: 2)
    func make(_ id: String) throws -> any AttentionVariant {
      try Catalog.standard.make(
        id, settings: ["sink": .string("learned")], shape: shape, key: RandomKey(seed: 1))
    }
    for id in ["full", "full-materialized"] {
      let plain = try Catalog.standard.make(id, shape: shape, key: RandomKey(seed: 1))
      let expected = try plain.attend(inputs, in: context)
      inputs["sink_logit"] = try Tensor([-200], shape: [1])
      let small = try make(id).attend(inputs, in: context)
      #expect(small.output.array() == expected.output.array())
      inputs["sink_logit"] = try Tensor([1e6], shape: [1])
      let large = try make(id).attend(inputs, in: context)
      #expect(large.output.array().allSatisfy { $0 == 0 })
      #expect(large.lse?.array().allSatisfy { $0 == 1e6 } == true)
      let gradient = try large.backward(expected.output, in: context)
      for name in gradient.names {
        #expect(gradient[name]?.array().allSatisfy { $0 == 0 } == true, "\(name)")
      }
    }
  }

  @Test("a sentinel's value is a value where sums of values are computed from smaller ones")
  func vastValues() throws {
    let shape = try AttentionShape(queryLength: 4, headDim: 8)
    var inputs = Operands(
      query: try Tensor(zeros: shape.queryShape), key: try Tensor(zeros: shape.keyShape),
      value: try Tensor([Float](repeating: 3e38, count: 32), shape: shape.valueShape))
    inputs["sentinel_key"] = try Tensor(zeros: [1, 8])
    inputs["sentinel_value"] = try Tensor([Float](repeating: -3e38, count: 8), shape: [1, 8])
    let context = ExecutionContext(threads: 1)
    let variant = try Catalog.standard.make(
      "full", settings: ["sink": .string("sentinel")], shape: shape, key: RandomKey(seed: 1))
    let plain = try variant.attend(inputs, in: context)
    let result = try variant.attendVastValues(inputs, after: plain, in: context)
    // Five equal weights, one of them on the sentinel.
    for element in result.output.array() { #expect((element / 1.8e38 - 1).magnitude < 1e-5) }
  }

  /// The figure that `tanh.h` states.
  @Test(
    "tanh of the kernels is good to 4e-7, and NaN of what is not finite", arguments: InstructionSet.available)
  func tanhError(_ set: InstructionSet) {
    var x: [Float] = (0..<400_000).map { Float($0 - 200_000) * 5e-5 }
    x += (1...4000).map { exp2f(-Float($0) / 100) } + [1e30, -1e30]
    var y = [Float](repeating: 0, count: x.count)
    attn_cap(set.code, x, &y, Int64(x.count), 1, 1)
    var worst = 0.0
    for (x, y) in zip(x, y) where x != 0 {
      let exact = tanh(Double(x))
      worst = max(worst, ((Double(y) - exact) / exact).magnitude)
    }
    #expect(worst < 4e-7, "\(worst)")
    #expect(worst > 1e-8)
    #expect(y.allSatisfy { $0.magnitude <= 1 })
    attn_cap(set.code, [.nan, .infinity, -.infinity], &y, 3, 1, 1)
    #expect(y[0].isNaN && y[1].isNaN && y[2].isNaN)
  }
}
