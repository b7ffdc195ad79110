import Tensors

/// A linear layer: `y = x·Wᵀ + b`, x `[rows, input]`, W `[output, input]`, b `[output]`.
///
/// Backward: `dW += dyᵀ·x`, `db += Σ dy`, `dx = dy·W`. 2·rows·input·output operations forward, twice that backward.
struct Linear: Sendable {
  let weight: ParameterSlot
  let bias: ParameterSlot?

  /// `x·Wᵀ + b`, with a residual `[rows, output]` added.
  func forward(_ x: Tensor, adding residual: Tensor? = nil, _ pass: Pass) throws -> Tensor {
    try pass.compute.matmul(
      x, .plain, pass.weight(weight), .transposed, bias: bias.map { pass.weight($0) }, adding: residual)
  }

  /// `z = x·Wᵀ + b` and `f(z)`.
  func forward(
    _ x: Tensor, activating kind: Activation, _ pass: Pass
  ) throws -> (before: Tensor, after: Tensor) {
    try pass.compute.matmul(
      x, .plain, pass.weight(weight), .transposed, bias: bias.map { pass.weight($0) }, activating: kind)
  }

  func backward(_ dy: Tensor, x: Tensor, _ pass: Pass) throws -> Tensor {
    try accumulateGradients(dy, x: x, pass)
    return try pass.compute.matmul(dy, .plain, pass.weight(weight), .plain)
  }

  /// The gradient of z where `x = f(z)`: `(dy·W)∘f′(z)`.
  func backward(
    _ dy: Tensor, x: Tensor, timesSlopeOf kind: Activation, at z: Tensor, _ pass: Pass
  ) throws -> Tensor {
    try accumulateGradients(dy, x: x, pass)
    return try pass.compute.matmul(dy, .plain, pass.weight(weight), .plain, timesSlopeOf: kind, at: z)
  }

  private func accumulateGradients(_ dy: Tensor, x: Tensor, _ pass: Pass) throws {
    try pass.compute.gemm(
      dy, .transposed, x, .plain, into: &pass.state.gradients, at: weight.offset, accumulate: true,
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
  init(_ parts: [(name: String, output: Int)], from input: Int, bias: Bool, in layout: inout ParameterLayout)
  {
    let deviation = ParameterSlot.Initial.normal(1 / Double(input).squareRoot())
    weight = layout.fused(
      parts.map { layout.add($0.name + ".weight", [$0.output, input], deviation, decays: true) })
    self.bias =
      bias
      ? layout.fused(parts.map { layout.add($0.name + ".bias", [$0.output], .constant(0), decays: false) })
      : nil
  }
}
