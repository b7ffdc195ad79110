import Tensors

extension Conformance {
  /// The gradient of the definition against central differences of it, in Double, along a random direction of all operands.
  ///
  /// Two steps give the error of the difference itself; what is left is rounding. Between the ends of a long step a function
  /// with kinks may have one, so shorter ones are tried where it has any.
  func definitionDifferences(
    _ variant: any AttentionVariant, _ definition: any Definition, _ inputs: Operands, _ subject: String
  ) throws -> ConformanceCheck {
    let center = DefinitionInputs(inputs)
    let weights = try gradientOfOutput(definition.shape).array().map { Double($0) }
    let direction = try direction(variant, inputs)
    func loss(_ step: Double) -> Double {
      let output = definition.forward(center.moved(by: step, along: direction)).output
      return zip(weights, output).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let gradient = definition.backward(weights, center)
    let expected = direction.dot { gradient.values[$0] ?? [] }
    let size = direction.dot(absolute: true) { gradient.magnitudes[$0] ?? [] }
    func check(_ step: Double) -> ConformanceCheck {
      let near = (loss(step) - loss(-step)) / (2 * step)
      let far = (loss(2 * step) - loss(-2 * step)) / (4 * step)
      // Rounding of the loss over the step: 1e-10 at 1e-4.
      return ConformanceCheck(
        group: "finite differences", quantity: "definition", subject: subject,
        error: (near - expected).magnitude, bound: 2 * (near - far).magnitude + 1e-14 / step * (size + 1))
    }
    let first = check(1e-4)
    guard definition.hasKinks, first.verdict != .passed else { return first }
    let shorter = [1e-5, 1e-6, 1e-7].lazy.map(check)
    return shorter.first { $0.verdict == .passed } ?? first
  }

  /// The variant's gradient against central differences of the variant itself, in float32.
  ///
  /// The output is known to `ErrorBudget.output` of its magnitude, so a difference over `2h` is known to that over `h`.
  func variantDifferences(
    _ variant: any AttentionVariant, _ definition: any Definition, _ inputs: Operands, _ subject: String
  ) throws -> ConformanceCheck {
    let outputGradient = try gradientOfOutput(variant.shape)
    let weights = outputGradient.array().map { Double($0) }
    let direction = try direction(variant, inputs)
    let center = DefinitionInputs(inputs)
    func loss(_ step: Double) throws -> Double {
      let moved = try center.moved(by: step, along: direction).narrowed(like: inputs)
      let output = try variant.attend(moved, in: context()).output.array()
      return zip(weights, output).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    let result = try evaluate(variant, inputs, outputGradient, in: context())
    let expected = direction.dot { (result.gradients[$0] ?? []).map { Double($0) } }
    let exact = definition.forward(center)
    let gradient = definition.backward(weights, center)
    let budget = definition.budget(exact)
    let noise = zip(weights, exact.outputMagnitude).reduce(0) { $0 + $1.0.magnitude * $1.1 } * budget.output
    let gradientNoise =
      direction.dot(absolute: true) { gradient.magnitudes[$0] ?? [] } * budget.queryGradient
    let step = 0x1p-7
    let near = (try loss(step) - loss(-step)) / (2 * step)
    let far = (try loss(2 * step) - loss(-2 * step)) / (4 * step)
    return ConformanceCheck(
      group: "finite differences", quantity: "variant", subject: subject, error: (near - expected).magnitude,
      bound: 2 * (near - far).magnitude + noise / step + gradientNoise)
  }

  /// A random direction of all operands that have gradients.
  private func direction(_ variant: any AttentionVariant, _ inputs: Operands) throws -> DefinitionInputs {
    var arrays: [Operand.Name: [Double]] = [:]
    for operand in Operand.all(variant.operands) where operand.hasGradient {
      guard let tensor = inputs[operand.name] else { continue }
      arrays[operand.name] = try Tensor.normal(
        tensor.shape, key: key("direction")(operand.shortName)
      ).array().map { Double($0) }
    }
    return DefinitionInputs(arrays)
  }
}

extension DefinitionInputs {
  /// The product with arrays of the same names, of absolute values if asked for.
  func dot(absolute: Bool = false, _ other: (Operand.Name) -> [Double]) -> Double {
    names.reduce(0) { sum, name in
      zip(self[name], other(name)).reduce(sum) { $0 + (absolute ? $1.0.magnitude : $1.0) * $1.1 }
    }
  }
}
