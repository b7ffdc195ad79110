import Attention
import AttentionCore
import Basics
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Learned numbers that have bounds and a penalty: those of adaptive spans.
@Suite struct BoundedParameterTests {
  static func model(penalty: Double, initial: Double) throws -> TransformerModel {
    var settings = GenerationTests.base
    settings["attention"] = .string("adaptive-span(span=16, ramp=4, initial=\(initial), penalty=\(penalty))")
    return try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
  }

  @Test("a penalty adds its share to the gradient of every element, and nothing to others")
  func penalty() throws {
    let model = try Self.model(penalty: 0.5, initial: 0.5)
    model.clearGradients()
    model.addPenalties()
    let gradients = model.state.gradients.array()
    let spans = model.layout.slots.filter { $0.bounds != nil }
    #expect(spans.count == 2 && spans.allSatisfy { $0.bounds == 0...1 && !$0.decays })
    var rest = gradients
    for slot in spans {
      // penalty · S · mean(z).
      for place in slot.range {
        #expect(gradients[place] == Float(0.5 * 16 / Double(slot.count)))
        rest[place] = 0
      }
    }
    #expect(rest.allSatisfy { $0 == 0 })
  }

  @Test("a step never leaves the bounds, and a large penalty takes spans to their lower end")
  func bounds() throws {
    let model = try Self.model(penalty: 1000, initial: 0.05)
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.learningRate, configuration.warmup) = (3, 0.1, 0)
    #expect(model.boundedMean.map { abs($0 - 0.05) < 1e-6 } == true)
    let tokens: [Int32] = [1, 2, 3, 4, 5, 6, 7, 8]
    _ = try model.fit(
      ModelInput(batch: 1, tokens: tokens, targets: Array(tokens.dropFirst()) + [0]), configuration)
    #expect(model.boundedMean == 0)
    #expect(try Self.plain().boundedMean == nil)
  }

  static func plain() throws -> TransformerModel {
    try TransformerModel(
      ModelConfiguration(settings: GenerationTests.base), catalog: .standard, context: .recycling(threads: 1))
  }
}
