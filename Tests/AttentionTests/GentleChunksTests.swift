import AttentionCore
import CKernels
import LabTestSupport
import Tensors
import Testing

@testable import Attention

/// Chunks of which no channel fades by much, whose pairs are one product, beside others.
@Suite struct GentleChunksTests {
  private static let key = RandomKey(seed: 12)

  @Test(
    "gentle chunks and others of one sequence are those of the definition, in any order of the chunks",
    arguments: InstructionSet.available, ["gla", "kda"])
  func definition(_ set: InstructionSet, _ id: String) throws {
    let shape = try AttentionShape(
      batch: 1, queryHeads: 4, keyHeads: 2, queryLength: 215, headDim: 20, valueDim: 9, isCausal: true)
    let variant = try RecurrenceTests.variant(id, shape)
    var inputs = try RecurrenceTests.inputs(of: variant)
    // The second chunk of a head has a token at which channels fade by e^−6, the third one fades by e^−50 in all.
    let steps = try #require(inputs[.step])
    var values = steps.array()
    for index in values.indices {
      let token = index / shape.headDim % shape.keyLength
      let strong: Float = id == "gla" ? -96 : 11
      if token == 100 { values[index] = strong }
      if (128..<192).contains(token) { values[index] = id == "gla" ? -13 : 5.2 }
    }
    inputs[.step] = try Tensor(values, shape: steps.shape)
    let outputGradient = try Tensor.normal(shape.outputShape, key: Self.key("do"))
    let definition = try variant.definition(of: inputs), wide = DefinitionInputs(inputs)
    let exact = definition.forward(wide), budget = definition.budget(exact)
    let gradient = definition.backward(outputGradient.array().map { Double($0) }, wide)
    var outputs: [[Float]] = []
    for threads in [1, 3] {
      let context = ExecutionContext(threads: threads, instructionSet: set)
      let forward = try variant.attend(inputs, in: context)
      outputs.append(forward.output.array())
      #expect(
        ErrorBudget.worst(outputs[outputs.count - 1], exact.output, exact.outputMagnitude) <= budget.output)
      let found = try forward.backward(outputGradient, in: context)
      for operand in variant.operands {
        let name = operand.name
        outputs[outputs.count - 1] += found[name]?.array() ?? []
        let worst = ErrorBudget.worst(
          found[name]?.array() ?? [], gradient.values[name] ?? [], gradient.magnitudes[name] ?? [])
        #expect(worst <= budget.gradient(of: operand, at: shape), "d\(name), \(threads) threads")
      }
    }
    #expect(outputs[0] == outputs[1])
  }

  @Test(
    "a chunk is gentle as long as no channel fades by more than its bounds",
    arguments: InstructionSet.available)
  func bounds(_ set: InstructionSet) {
    func isGentle(_ rows: Int, _ dim: Int, _ change: (inout [Float]) -> Void) -> Bool {
      var decays = [Float](repeating: 1, count: rows * dim)
      change(&decays)
      let x = [Float](repeating: 1, count: rows * dim)
      var faded = x, totals = [Float](repeating: 0, count: dim), inverses = totals
      return attn_scan_behind_all(set.code, x, dim, decays, &faded, &totals, &inverses, rows, dim) != 0
    }
    for dim in [1, 3, 16, 20, 64, 70] {
      #expect(isGentle(64, dim) { _ in })
      for channel in [0, dim / 2, dim - 1] {
        #expect(isGentle(64, dim) { $0[5 * dim + channel] = 0.125 })
        #expect(!isGentle(64, dim) { $0[5 * dim + channel] = 0.124 })
        #expect(!isGentle(64, dim) { $0[63 * dim + channel] = .nan })
        #expect(!isGentle(64, dim) { $0[channel] = 0 })
        #expect(isGentle(24, dim) { for row in 0..<24 { $0[row * dim + channel] = 0.5 } })
        #expect(!isGentle(25, dim) { for row in 0..<25 { $0[row * dim + channel] = 0.5 } })
      }
    }
  }

  @Test(
    "how many rows are gentle, and what stands there, no later row changes",
    arguments: InstructionSet.available)
  func prefixes(_ set: InstructionSet) {
    let rows = 30
    for dim in [1, 17, 64] {
      let x = (0..<rows * dim).map { Float($0 % 7) - 3 }
      var decays = (0..<rows * dim).map { 1 - Float($0 % 5) / 100 }
      func unfaded() -> (count: Int, values: [Float]) {
        var result = [Float](repeating: 0, count: rows * dim)
        let count = attn_scan_unfade(set.code, x, dim, decays, &result, rows, dim)
        return (count, result)
      }
      let whole = unfaded()
      #expect(whole.count == rows)
      for strong in [29, 12, 0] {
        decays[strong * dim + dim / 2] = 0
        let part = unfaded()
        #expect(part.count == strong)
        #expect(part.values.prefix(strong * dim) == whole.values.prefix(strong * dim))
      }
    }
  }
}
