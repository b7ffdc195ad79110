import AttentionCore
import Basics
import Layers
import Settings
import Tensors
import Vision

/// The check of a mechanism that is no variant of attention but a setting of a model: small models that have it, on drawn images.
///
/// Gradients of the loss of every parameter, along a drawn direction, against difference quotients of the loss in float32; equal bits on
/// any number of threads and in a second pass; logits of every instruction set against portable ones. Images have an area, one pixel, and sides
/// that differ. The exact definitions, in Double, stand in the tests.
public struct LayerCheck: Sendable {
  private let card: LayerCard, catalog: Catalog, key: RandomKey, instructionSets: [InstructionSet]

  /// - Parameters:
  ///   - card: the mechanism.
  ///   - catalog: the variants that models may use.
  ///   - key: the root of weights and pixels.
  ///   - instructionSets: whose kernels are checked.
  public init(_ card: LayerCard, catalog: Catalog, key: RandomKey, instructionSets: [InstructionSet]) {
    (self.card, self.catalog, self.key, self.instructionSets) = (card, catalog, key, instructionSets)
  }

  /// An image that is looked at: its sides, its channels and the patch that cuts it.
  private typealias Size = (height: Int, width: Int, channels: Int, patch: Int)

  /// Runs it.
  /// - Throws: `ConfigurationError` for settings that no model has; what layers throw.
  public func run() throws -> ConformanceReport {
    let sizes = [
      (height: 4, width: 6, channels: 2, patch: 2), (height: 1, width: 1, channels: 1, patch: 1),
      (height: 6, width: 2, channels: 1, patch: 1),
    ]
    var checks: [ConformanceCheck] = []
    for size in sizes {
      for set in instructionSets { checks += try check(size, set) }
    }
    return ConformanceReport(variant: card.id, checks: checks)
  }

  private func check(_ size: Size, _ set: InstructionSet) throws -> [ConformanceCheck] {
    let subject = "\(size.height)×\(size.width), \(counted(size.channels, "channel")), \(set.rawValue)"
    func result(_ group: String, _ quantity: String, _ error: Double, _ bound: Double) -> ConformanceCheck {
      ConformanceCheck(group: group, quantity: quantity, subject: subject, error: error, bound: bound)
    }
    let model = try model(size, .recycling(threads: 1, instructionSet: set)), input = try input(size)
    let logits = try model.logits(input).array(), gradients = try gradients(of: model, input)
    var checks: [ConformanceCheck] = []
    for threads in [1, 2, 5] {
      let other = try self.model(size, .recycling(threads: threads, instructionSet: set))
      let isSame =
        try other.logits(input).array() == logits && (try self.gradients(of: other, input)) == gradients
      checks.append(result("bits", "\(counted(threads, "thread"))", isSame ? 0 : 1, 0))
    }
    let plain = try self.model(size, .recycling(threads: 1, instructionSet: .portable)).logits(input).array()
    let largest = Double(plain.map(\.magnitude).max() ?? 1)
    let apart = zip(plain, logits).reduce(0.0) { max($0, Double(($1.0 - $1.1).magnitude)) }
    checks.append(result("instruction sets", "logits", apart / max(largest, 1e-6), 1e-4))
    // A probe's loss is not in the loss that is reported.
    let isProbed = card.setting.contains("pretext")
    for slot in model.layout.slots where !(isProbed && slot.name.hasPrefix("classifier.")) {
      let own = Array(gradients[slot.range])
      let length = own.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      let along = zip(own, try direction(slot)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      let error = abs(try quotient(model, input, slot) - along)
      checks.append(result("gradients", slot.name, error, 0.05 * length + 2e-3))
    }
    return checks
  }

  private func model(_ size: Size, _ context: ExecutionContext) throws -> TransformerModel {
    var settings: [String: ParameterValue] = [
      "tied": .bool(false), "width": .int(8), "heads": .int(2), "layers": .int(2), "hidden": .int(12),
      "features": .int(size.channels), "classes": .int(3),
    ]
    for pair in card.setting.split(separator: ",") {
      let words = pair.split(separator: ":", maxSplits: 1).map(\.trimmed)
      if words.count == 2 { settings[words[0]] = ParameterValue(parsing: words[1]) }
    }
    if settings["kind"] == .string("vit") {
      settings.merge([
        "position": .string("learned"), "patch": .int(size.patch), "image_height": .int(size.height * frames),
        "image_width": .int(size.width), "frames": .int(frames), "view_noise": .int(0),
      ]) { $1 }
    } else {
      settings.merge(["channels": .int(4), "stages": .int(2), "blocks": .int(2)]) { $1 }
    }
    let model = try TransformerModel(
      ModelConfiguration(settings: settings, in: catalog), catalog: catalog, context: context)
    // What starts at 0 would hide what stands behind it.
    let noise = try Tensor.normal([model.layout.count], key: key("weights"), standardDeviation: 0.2)
    context.accumulate(noise, into: &model.state.weights)
    return model
  }

  private var frames: Int { card.setting.contains("divided") ? 2 : 1 }

  private func input(_ size: Size) throws -> ModelInput {
    let shape = [3, size.height * frames, size.width, size.channels]
    return ModelInput(images: try Tensor.normal(shape, key: key("pixels")), targets: [0, 1, 2])
  }

  private func gradients(of model: TransformerModel, _ input: ModelInput) throws -> [Float] {
    model.clearGradients()
    _ = try model.accumulateGradients(input, key: RandomKey(seed: 0), training: false)
    return model.state.gradients.array()
  }

  /// A drawn direction of length 1.
  private func direction(_ slot: ParameterSlot) throws -> [Float] {
    let drawn = try Tensor.normal([slot.count], key: key(slot.name)).array()
    let length = drawn.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return drawn.map { $0 / length }
  }

  /// The slope of the loss along the direction, of fourth order.
  private func quotient(_ model: TransformerModel, _ input: ModelInput, _ slot: ParameterSlot) throws
    -> Double
  {
    let direction = try direction(slot), before = model.state.weights, step: Float = 1e-3
    defer { model.state.weights = before }
    func loss(_ step: Float) throws -> Double {
      var moved = before
      for (index, d) in zip(slot.range, direction) { moved[index] += step * d }
      model.state.weights = moved
      return try model.loss(input).mean
    }
    let near = try loss(step) - loss(-step), far = try loss(2 * step) - loss(-2 * step)
    return (8 * near - far) / Double(12 * step)
  }
}
