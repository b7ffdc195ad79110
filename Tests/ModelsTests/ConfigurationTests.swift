import Attention
import AttentionCore
import Settings
import Tasks
import Tensors
import Testing

@testable import Models
@testable import Training

/// Wrong models are refused in one clear line before anything is allocated.
@Suite struct ConfigurationTests {
  @Test(arguments: [
    (["heads": ParameterValue.int(5)], "heads: 5 is not allowed; it takes a divisor of the width 128"),
    (["key_heads": .int(3)], "key_heads: 3 is not allowed; it takes a divisor of the 4 heads, or 0"),
    (["attention": .string("slidingwindow")], "did you mean sliding-window?"),
    (["attention": .string("sliding-window(lef=3)")], "did you mean left?"),
    (["attention": .string("full x3,")], "attention: an empty entry is not allowed"),
    (["attention": .string("sliding-window(left)")], "attention: sliding-window(left) is not allowed"),
    (["kind": .string("encoder"), "position": .string("alibi")], "position: alibi is not allowed"),
    (["classes": .int(3)], "classes: 3 is not allowed; it takes 0 unless kind is encoder"),
    (["width": .int(12), "heads": .int(4)], "position: rope is not allowed; it takes an even head width"),
    (["wdith": .int(12)], "did you mean width?"),
    (
      ["global_projections": .string("separate")],
      "global_projections: separate is not allowed; it takes tied unless a layer's attention is local-global"
    ),
    (
      ["attention": .string("local-global(projections=both)")],
      "projections: both is not allowed; it takes one of tied, separate"
    ),
    (["global_projections": .string("both")], "it takes one of tied, separate"),
    (["norm": .string("layernorm")], "norm: layernorm is not allowed; it takes one of layer, rms, batch"),
  ])
  func refusals(_ settings: [String: ParameterValue], _ expected: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      _ = try TransformerModel(
        ModelConfiguration(settings: settings, in: .standard), catalog: .standard)
    }
    let line = error?.description ?? ""
    #expect(line.contains(expected), "\(line)")
    #expect(!line.contains("\n"))
  }

  @Test func attentionLinesRepeatOverTheLayers() throws {
    let layers = try LayerAttention.parse("sliding-window(left=63, sinks=2) x3, full")
    #expect(layers.map(\.id) == ["sliding-window", "sliding-window", "sliding-window", "full"])
    #expect(layers[1].settings == ["left": .int(63), "sinks": .int(2)])
    var configuration = ModelConfiguration()
    configuration.layers = 6
    configuration.attention = "chunked(chunk=16), full"
    #expect(
      try configuration.layerAttention().map(\.id) == [
        "chunked", "full", "chunked", "full", "chunked", "full",
      ])
    #expect(
      try LayerAttention.parse("local-global(positions=[0 5])")[0].settings == ["positions": .list([0, 5])])
  }

  @Test func inputsOutsideTheVocabularyAreNamed() throws {
    var configuration = ModelConfiguration()
    configuration.vocabulary = 10
    let input = ModelInput(batch: 2, tokens: [1, 2, 3, 4, 5, 12])
    let error = #expect(throws: ConfigurationError.self) { try input.validate(for: configuration) }
    #expect(
      error?.description
        == "tokens: token 12 at row 1, column 2 is not allowed; it takes 0 to 9 (the model's vocabulary)")
  }

  @Test func schedulesFollowTheirFormulas() throws {
    func rate(_ settings: [String: ParameterValue], _ step: Int) throws -> Double {
      try TrainingConfiguration(
        settings: ["learning_rate": .double(2), "warmup": .int(10), "steps": .int(110)].merging(settings) {
          $1
        }
      ).learningRate(at: step, width: 64)
    }
    #expect(try rate(["schedule": .string("constant")], 5) == 1)
    #expect(try rate(["schedule": .string("constant")], 99) == 2)
    #expect(try rate(["schedule": .string("step"), "decay_every": .int(20)], 51) == 0.5)
    #expect(
      abs(try rate(["schedule": .string("exponential"), "decay_every": .int(20)], 20) - 2 * 0.5.squareRoot())
        < 1e-12)
    #expect(abs(try rate(["schedule": .string("cosine")], 60) - 1.1) < 1e-12)
    #expect(abs(try rate(["schedule": .string("cosine")], 110) - 0.2) < 1e-12)
    #expect(abs(try rate(["schedule": .string("noam")], 10) - 2 / 8 / 10.0.squareRoot()) < 1e-12)
    #expect(try rate(["schedule": .string("noam")], 40) == 2.0 / 8 / 40.0.squareRoot())
  }
}
