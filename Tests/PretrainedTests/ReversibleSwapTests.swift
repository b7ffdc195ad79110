import Attention
import AttentionCore
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Models
@testable import Pretrained

/// A reversible stack has two streams; its trace shows one.
@Suite struct ReversibleSwapTests {
  @Test func itsAttentionCanBeSwapped() throws {
    let scratch = try Scratch(), path = scratch("model.safetensors")
    let settings: [String: ParameterValue] = [
      "vocabulary": .int(11), "width": .int(16), "layers": .int(2), "heads": .int(2), "hidden": .int(24),
      "maximum_length": .int(32), "residual": .string("reversible"), "tied": .bool(false),
    ]
    try TransformerModel(ModelConfiguration(settings: settings), catalog: .standard, context: serial)
      .save(to: path)
    let original = try PretrainedModel(contentsOf: path, catalog: .standard)
    let input = ModelInput(batch: 1, tokens: [1, 5, 3, 8, 2, 7, 9, 4])
    let trace = try original.trace(input)
    #expect(trace.states.count == 3 && trace.attentionInputs.count == 2)
    // What the trace says is what the model says.
    let logits = try original.model.logits(input).array()
    #expect(zip(trace.logits?.array() ?? [], logits).allSatisfy { abs($0 - $1) <= 1e-5 })
    let same = try AttentionSwap(original, attention: "full", on: input)
    #expect(same.finalError == 0)
    #expect(try AttentionSwap(original, attention: "sliding-window(left=1)", on: input).finalError > 0)
  }
}
