import Basics
import Tensors

/// A linear layer: `y = x·Wᵀ + b`, x `[rows, input]`, W `[output, input]`, b `[output]`.
///
/// Backward: `dW += dyᵀ·x`, `db += Σ dy`, `dx = dy·W`. 2·rows·input·output operations forward, twice that backward.
struct Linear: Sendable {
  let weight: ParameterSlot
  let bias: ParameterSlot?

  /// `x·Wᵀ + b`, with a residual `[rows, output]` added.
  func forward(_ x: Tensor, adding residual: Tensor? = nil, _ run: LayerRun) throws -> Tensor {
    try run.context.matmul(
      x, .plain, run.weight(weight), .transposed, bias: bias.map { run.weight($0) }, adding: residual)
  }

  /// `z = x·Wᵀ + b` and `f(z)`.
  func forward(
    _ x: Tensor, activating kind: Activation, _ run: LayerRun
  ) throws -> (before: Tensor, after: Tensor) {
    try run.context.matmul(
      x, .plain, run.weight(weight), .transposed, bias: bias.map { run.weight($0) }, activating: kind)
  }

  func backward(_ dy: Tensor, x: Tensor, _ run: LayerRun) throws -> Tensor {
    try accumulateGradients(dy, x: x, run)
    return try run.context.matmul(dy, .plain, run.weight(weight), .plain)
  }

  /// The gradient of z where `x = f(z)`: `(dy·W)∘f′(z)`.
  func backward(
    _ dy: Tensor, x: Tensor, timesSlopeOf kind: Activation, at z: Tensor, _ run: LayerRun
  ) throws -> Tensor {
    try accumulateGradients(dy, x: x, run)
    return try run.context.matmul(dy, .plain, run.weight(weight), .plain, timesSlopeOf: kind, at: z)
  }

  private func accumulateGradients(_ dy: Tensor, x: Tensor, _ run: LayerRun) throws {
    try run.context.gemm(
      dy, .transposed, x, .plain, into: &run.state.gradients, at: weight.offset, accumulate: true,
      rowSumsAt: bias?.offset)
  }

  /// Declares weight and bias under a name.
  init(
    _ name: String, from input: Int, to output: Int, bias: Bool, gain: Double = 1,
    in layout: inout ParameterLayout
  ) {
    weight = layout.add(
      name + ".weight", [output, input], .normal(gain / Double(input).squareRoot()), decays: true)
    self.bias = bias ? layout.add(name + ".bias", [output], .constant(0), decays: false) : nil
  }

  /// Several layers of one input as one product; the weights are neighbours, then the biases.
  /// - Parameter source: a layer of the same input and biases, from whose output `row` on they start as copies.
  init(
    _ parts: [(name: String, output: Int)], from input: Int, bias: Bool,
    copying source: (layer: Linear, row: Int)? = nil, in layout: inout ParameterLayout
  ) {
    var row = source?.row ?? 0
    var weights: [ParameterSlot] = [], biases: [ParameterSlot] = []
    for part in parts {
      let initial = source.map { ParameterSlot.Initial.copy(of: $0.layer.weight.offset + row * input) }
      weights.append(
        layout.add(
          part.name + ".weight", [part.output, input], initial ?? .normal(1 / Double(input).squareRoot()),
          decays: true))
      row += part.output
    }
    row = source?.row ?? 0
    for part in parts where bias {
      let initial = source?.layer.bias.map { ParameterSlot.Initial.copy(of: $0.offset + row) }
      biases.append(layout.add(part.name + ".bias", [part.output], initial ?? .constant(0), decays: false))
      row += part.output
    }
    weight = layout.fused(weights)
    self.bias = bias ? layout.fused(biases) : nil
  }
}
