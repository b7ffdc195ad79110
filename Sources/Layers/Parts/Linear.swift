import Basics
import Tensors

/// A linear layer: `y = x·Wᵀ + b`, x `[rows, input]`, W `[output, input]`, b `[output]`.
///
/// Backward: `dW += dyᵀ·x`, `db += Σ dy`, `dx = dy·W`. 2·rows·input·output operations forward, twice that backward.
package struct Linear: BranchLayer {
  package let weight: ParameterSlot
  package let bias: ParameterSlot?

  /// `x·Wᵀ + b`, with a residual `[rows, output]` added, and the way back.
  package func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let y = try product(x, adding: residual, run)
    return (y, Pullback { dy, residual in try run.context.sum(residual, backward(dy, x: x, run)) })
  }

  /// `x·Wᵀ + b`, with a residual `[rows, output]` added.
  package func product(_ x: Tensor, adding residual: Tensor? = nil, _ run: LayerRun) throws -> Tensor {
    try run.context.matmul(
      x, .plain, run.weight(weight), .transposed, bias: bias.map { run.weight($0) }, adding: residual)
  }

  /// `x·Wᵀ + b` as heads `[batch, heads, length, d]`, one tensor for every entry of `columns`.
  package func heads(
    _ x: Tensor, batch: Int, into columns: [HeadColumns], _ run: LayerRun
  ) throws -> [Tensor] {
    try run.context.matmul(
      x, run.weight(weight), .transposed, bias: bias.map { run.weight($0) }, batch: batch, into: columns)
  }

  /// `x·Wᵀ + b` of rows that lie as heads, with a residual `[rows, output]` added.
  package func product(_ x: HeadMatrix, adding residual: Tensor?, _ run: LayerRun) throws -> Tensor {
    try run.context.matmul(
      x, run.weight(weight), .transposed, bias: bias.map { run.weight($0) }, adding: residual)
  }

  /// `f(z)` and, where the way back is to be walked, `f′(z)`, of `z = x·Wᵀ + b`.
  package func forward(
    _ x: Tensor, activating kind: Activation, _ run: LayerRun
  ) throws -> (after: Tensor, slope: Tensor?) {
    try run.context.matmul(
      x, .plain, run.weight(weight), .transposed, bias: bias.map { run.weight($0) }, activating: kind,
      withSlope: run.isDifferentiated)
  }

  /// The gradient of x; adds those of W and b.
  package func backward(_ dy: Tensor, x: Tensor, _ run: LayerRun) throws -> Tensor {
    try accumulateGradients(dy, x: x, run)
    return try run.context.matmul(dy, .plain, run.weight(weight), .plain)
  }

  /// The gradient of x from that of an output that lies as heads; adds those of W and b.
  package func backward(_ dy: HeadMatrix, x: Tensor, _ run: LayerRun) throws -> Tensor {
    // Moved once for both products.
    guard run.context.readsTransposed(dy) else { return try backward(dy.moved(in: run.context), x: x, run) }
    try run.context.accumulateProduct(
      ofTransposed: dy, x, into: &run.state.gradients, at: weight.offset, rowSumsAt: bias?.offset)
    return try run.context.matmul(dy, run.weight(weight), .plain)
  }

  /// The gradient of an x that lies as heads of one shape, as such; adds those of W and b.
  package func backward(_ dy: Tensor, heads x: HeadMatrix, _ run: LayerRun) throws -> Tensor {
    try run.context.accumulateProduct(
      ofTransposed: dy, x, into: &run.state.gradients, at: weight.offset, rowSumsAt: bias?.offset)
    let columns = x.parts.map { HeadColumns(heads: $0.shape[1], dim: $0.shape[3]) }
    return try run.context.matmul(dy, run.weight(weight), .plain, batch: x.batch, into: columns)[0]
  }

  /// The gradient of z where `x = f(z)`: `(dy·W)∘f′(z)`.
  package func backward(_ dy: Tensor, x: Tensor, times slope: Tensor?, _ run: LayerRun) throws -> Tensor {
    guard let slope else { preconditionFailure("this pass has no way back") }
    try accumulateGradients(dy, x: x, run)
    return try run.context.matmul(dy, .plain, run.weight(weight), .plain, times: slope)
  }

  /// Adds the gradients of W and b.
  package func accumulateGradients(_ dy: Tensor, x: Tensor, _ run: LayerRun) throws {
    try run.context.gemm(
      dy, .transposed, x, .plain, into: &run.state.gradients, at: weight.offset, accumulate: true,
      rowSumsAt: bias?.offset)
  }

  /// The part of the layer that makes some of its output's columns; shares the parameters.
  package func columns(_ range: Range<Int>) -> Linear {
    Linear(weight: weight.rows(range), bias: bias?.rows(range))
  }

  private init(weight: ParameterSlot, bias: ParameterSlot?) { (self.weight, self.bias) = (weight, bias) }

  /// Declares weight and bias under a name.
  package init(
    _ name: String, from input: Int, to output: Int, bias: Bool, gain: Double = 1,
    in layout: inout ParameterLayout
  ) {
    weight = layout.add(
      name + ".weight", [output, input], .normal(gain / Double(input).squareRoot()), decays: true)
    self.bias = bias ? layout.add(name + ".bias", [output], .constant(0), decays: false) : nil
  }

  /// Several layers of one input as one product; the weights are neighbours, then the biases.
  package init(
    _ parts: [(name: String, output: Int)], from input: Int, bias: Bool, in layout: inout ParameterLayout
  ) {
    self.init(parts.map { ($0.name, $0.output, nil) }, from: input, bias: bias, copying: nil, in: &layout)
  }

  /// The same, some of which start as copies.
  /// - Parameters:
  ///   - parts: with the row of the source's output from which on they are copies; `nil`: they are drawn.
  ///   - source: a layer of the same input and biases.
  package init(
    _ parts: [(name: String, output: Int, row: Int?)], from input: Int, bias: Bool, copying source: Linear?,
    in layout: inout ParameterLayout
  ) {
    func copy(_ slot: ParameterSlot?, _ row: Int?, _ stride: Int) -> ParameterSlot.Initial? {
      guard let slot, let row else { return nil }
      return .copy(of: slot.offset + row * stride)
    }
    var weights: [ParameterSlot] = [], biases: [ParameterSlot] = []
    for part in parts {
      let initial = copy(source?.weight, part.row, input) ?? .normal(1 / Double(input).squareRoot())
      weights.append(layout.add(part.name + ".weight", [part.output, input], initial, decays: true))
    }
    for part in parts where bias {
      let initial = copy(source?.bias, part.row, 1) ?? .constant(0)
      biases.append(layout.add(part.name + ".bias", [part.output], initial, decays: false))
    }
    weight = layout.fused(weights)
    self.bias = bias ? layout.fused(biases) : nil
  }
}
