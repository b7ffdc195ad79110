import Basics
import Tensors

extension Conformance {
  /// The oracle's gradient against central differences of the oracle, in Double, along a random direction.
  ///
  /// Two steps give the error of the difference itself; what is left is rounding.
  func oracleDifferences(_ oracle: Oracle, _ inputs: QKV, _ subject: String) throws -> ConformanceCheck {
    let center = ReferenceInputs(inputs)
    let weights = try gradientOfOutput(oracle.shape).array().map { Double($0) }
    let direction = try direction(oracle.shape)
    func loss(_ step: Double) -> Double {
      let moved = center.local.moved(by: step, along: direction)
      let output = Reference(oracle, ReferenceInputs(local: moved)).forward().output
      return zip(weights, output).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let gradient = Reference(oracle, center).backward(weights)
    let step = 1e-4
    let near = (loss(step) - loss(-step)) / (2 * step)
    let far = (loss(2 * step) - loss(-2 * step)) / (4 * step)
    let expected = gradient.local.values.dot(direction)
    let size = gradient.local.magnitudes.dot(direction.magnitudes)
    return ConformanceCheck(
      group: "finite differences", quantity: "oracle", subject: subject, error: (near - expected).magnitude,
      bound: 2 * (near - far).magnitude + 1e-10 * (size + 1))
  }

  /// The variant's gradient against central differences of the variant itself, in float32.
  ///
  /// The output is known to `ErrorBudget.output` of its magnitude, so a difference over `2h` is known to that over `h`.
  func variantDifferences(
    _ variant: AnyAttention, _ oracle: Oracle, _ inputs: QKV, _ subject: String
  ) throws -> ConformanceCheck {
    let shape = variant.shape
    let outputGradient = try gradientOfOutput(shape)
    let weights = outputGradient.array().map { Double($0) }
    let direction = try direction(shape)
    let center = ReferenceInputs(inputs)
    func loss(_ step: Double) throws -> Double {
      let moved = center.local.moved(by: step, along: direction)
      func narrow(_ values: [Double], _ shape: [Int]) throws -> Tensor {
        try Tensor(values.map { Float($0) }, shape: shape)
      }
      let inputs = QKV(
        query: try narrow(moved.query, shape.queryShape), key: try narrow(moved.key, shape.keyShape),
        value: try narrow(moved.value, shape.valueShape))
      let output = try variant.forward(inputs, in: context()).output.array()
      return zip(weights, output).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    let result = try evaluate(variant, inputs, outputGradient, in: context())
    let expected = ReferenceInputs.Projections(
      query: result.query.map { Double($0) }, key: result.key.map { Double($0) },
      value: result.value.map { Double($0) }
    ).dot(direction)
    let reference = Reference(oracle, center)
    let exact = reference.forward()
    let budget = ErrorBudget(shape: shape, scoreMagnitude: exact.scoreMagnitude, mostKeys: exact.mostKeys)
    let noise = zip(weights, exact.outputMagnitude).reduce(0) { $0 + $1.0.magnitude * $1.1 } * budget.output
    let gradientNoise =
      reference.backward(weights).local.magnitudes.dot(direction.magnitudes) * budget.queryGradient
    let step = 0x1p-7
    let near = (try loss(step) - loss(-step)) / (2 * step)
    let far = (try loss(2 * step) - loss(-2 * step)) / (4 * step)
    return ConformanceCheck(
      group: "finite differences", quantity: "variant", subject: subject, error: (near - expected).magnitude,
      bound: 2 * (near - far).magnitude + noise / step + gradientNoise)
  }

  private func direction(_ shape: AttentionShape) throws -> ReferenceInputs.Projections {
    func draw(_ name: String, _ shape: [Int]) throws -> [Double] {
      try Tensor.normal(shape, key: key("direction")(name)).array().map { Double($0) }
    }
    return ReferenceInputs.Projections(
      query: try draw("q", shape.queryShape), key: try draw("k", shape.keyShape),
      value: try draw("v", shape.valueShape))
  }
}

extension ReferenceInputs.Projections {
  func moved(by step: Double, along direction: Self) -> Self {
    func move(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + step * $1 } }
    return Self(
      query: move(query, direction.query), key: move(key, direction.key), value: move(value, direction.value))
  }

  func dot(_ other: Self) -> Double {
    func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    return dot(query, other.query) + dot(key, other.key) + dot(value, other.value)
  }

  var magnitudes: Self {
    Self(query: query.map(\.magnitude), key: key.map(\.magnitude), value: value.map(\.magnitude))
  }
}
