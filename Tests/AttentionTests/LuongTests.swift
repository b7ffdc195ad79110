import AttentionCore
import Basics
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

/// Luong's attention: what it comes down to, besides the definition, which all variants are checked against.
@Suite struct LuongTests {
  private func inputs(_ shape: AttentionShape, _ configuration: Luong.Configuration) throws -> Operands {
    var inputs = Operands(
      query: try .normal(shape.queryShape, key: RandomKey(seed: 1)),
      key: try .normal(shape.keyShape, key: RandomKey(seed: 2)),
      value: try .normal(shape.valueShape, key: RandomKey(seed: 3)))
    for operand in Luong.operands(configuration) where !operand.isStandard {
      inputs[operand.name] = try operand.drawn(at: shape, key: RandomKey(seed: 4)(operand.shortName))
    }
    return inputs
  }

  private func results(
    _ variant: any AttentionVariant, _ inputs: Operands
  ) throws -> (output: [Float], lse: [Float], gradient: Operands) {
    let context = ExecutionContext(threads: 2)
    let forward = try variant.attend(inputs, in: context)
    let dO = try Tensor.normal(variant.shape.outputShape, key: RandomKey(seed: 5))
    return (
      forward.output.array(), try #require(forward.lse).array(), try forward.backward(dO, in: context)
    )
  }

  private func expectClose(_ a: [Float], _ b: [Float], _ what: String) {
    let largest = max(1e-3, b.map(\.magnitude).max() ?? 0)
    let worst = zip(a, b).map { ($0 - $1).magnitude / largest }.max() ?? 0
    #expect(a.count == b.count && worst < 1e-5, "\(what): \(worst)")
  }

  @Test("the product over all keys is full attention with scale 1, bit by bit")
  func globalIsFull() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 70, headDim: 24, isCausal: true)
    var scaled = shape
    scaled.scale = 1
    let inputs = try inputs(shape, .init())
    let luong = try results(Luong(.init(), for: shape, key: RandomKey(seed: 1)), inputs)
    let full = try results(FullAttention(.init(), for: scaled, key: RandomKey(seed: 1)), inputs)
    #expect(luong.output == full.output && luong.lse == full.lse)
    for name in full.gradient.names {
      #expect(luong.gradient[name]?.array() == full.gradient[name]?.array())
    }
  }

  @Test(
    "a predicted window of all keys under a Gaussian without end is global attention",
    arguments: Luong.Score.allCases, [false, true])
  func wideWindows(_ score: Luong.Score, _ isCausal: Bool) throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 65, headDim: 16, isCausal: isCausal,
      keyLengths: [65, 40])
    let wide = Luong.Configuration(score: score, align: .predictive, window: 65, sigma: 1e12)
    let inputs = try inputs(shape, wide)
    let local = try results(Luong(wide, for: shape, key: RandomKey(seed: 1)), inputs)
    let all = try results(Luong(.init(score: score), for: shape, key: RandomKey(seed: 1)), inputs)
    expectClose(local.output, all.output, "output")
    expectClose(local.lse.map { $0.isFinite ? $0 : 0 }, all.lse.map { $0.isFinite ? $0 : 0 }, "lse")
    for name in all.gradient.names {
      expectClose(local.gradient[name]?.array() ?? [], all.gradient[name]?.array() ?? [], "\(name)")
    }
  }

  @Test("weights of a predicted window do not sum to 1: equal values come out times the Gaussian")
  func notRenormalised() throws {
    let shape = try AttentionShape(queryLength: 9, headDim: 4)
    let configuration = Luong.Configuration(align: .predictive, window: 2)
    var inputs = try inputs(shape, configuration)
    inputs.query = try Tensor(zeros: shape.queryShape)
    inputs.value = try Tensor([Float](repeating: 1, count: 36), shape: shape.valueShape)
    inputs[Luong.windowWeight.name] = try Tensor(zeros: [1, 4])
    // σ(0) = 1/2: the middle is 4.5, the window 2 … 6, σ 1.
    let expected = (2...6).reduce(Float(0)) { sum, key in
      let offset = Float(key) - 4.5
      return sum + 0.2 * Float(exp(Double(-offset * offset / 2)))
    }
    let result = try results(Luong(configuration, for: shape, key: RandomKey(seed: 1)), inputs)
    for element in result.output { #expect((element - expected).magnitude < 1e-6) }
  }
}
