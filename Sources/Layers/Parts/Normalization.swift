import Tensors

/// LayerNorm, RMSNorm or BatchNorm over x `[rows, width]`.
///
/// `y = (x − μ)/√(σ² + ε)·gain + shift`. LayerNorm: μ, σ² of each row. RMSNorm: μ = 0, σ² the mean square of each row,
/// no shift. BatchNorm: μ, σ² of each column over the batch in training, running averages (momentum 0.1, unbiased
/// variance) in evaluation; padded rows do not enter them.
package struct Normalization: Layer {
  package let kind: LayerConfiguration.Norm
  package let gain: ParameterSlot
  package let shift: ParameterSlot?
  package let epsilon: Double
  /// Where the running mean and variance stand in the model's buffers (BatchNorm).
  package let buffer: Int
  package let width: Int

  /// - Parameter width: of the rows; `nil`: that of the residual stream.
  package init(
    _ name: String, _ configuration: LayerConfiguration, width given: Int? = nil,
    in layout: inout ParameterLayout, buffers: inout [BufferSlot]
  ) {
    kind = configuration.norm
    epsilon = configuration.epsilon
    width = given ?? configuration.width
    gain = layout.add(name + ".weight", [width], .constant(1), decays: false)
    shift = kind == .rms ? nil : layout.add(name + ".bias", [width], .constant(0), decays: false)
    buffer = buffers.last.map { $0.offset + $0.count } ?? 0
    if kind == .batch {
      buffers.append(BufferSlot(name: name + ".running_mean", offset: buffer, count: width, initial: 0))
      buffers.append(
        BufferSlot(name: name + ".running_var", offset: buffer + width, count: width, initial: 1))
    }
  }

  /// y and the way back. In training BatchNorm moves its running averages, once for a pass and its repetitions.
  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    if kind == .batch, let shift { return try forwardColumns(x, shift: shift, run) }
    let (y, statistics) = try run.context.normalize(
      x, gain: run.weight(gain), shift: shift.map { run.weight($0) }, centred: kind == .layer,
      epsilon: epsilon)
    let pullback = Pullback { dy, residual in
      try run.context.normalizeBackward(
        dy, x: x, gain: run.weight(gain), statistics: statistics, centred: kind == .layer,
        adding: residual, gradients: &run.state.gradients, gainAt: gain.offset, shiftAt: shift?.offset)
    }
    return (y, pullback)
  }

  private func forwardColumns(_ x: Tensor, shift: ParameterSlot, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let context = run.context, valid = run.training ? run.validRows(of: x) : nil
    let (mean, variance) =
      try run.training ? context.columnMoments(x, of: valid) : runningMoments(run.state)
    if run.training, !run.isRepeated {
      let rows = valid.map { $0.reduce(0) { $0 + $1.count } } ?? x.shape[0]
      move(run.state, mean: mean, variance: variance, rows: Float(rows))
    }
    let y = try context.scaleColumns(
      x, mean: mean, variance: variance, epsilon: epsilon, gain: run.weight(gain),
      shift: run.weight(shift))
    let pullback = Pullback { dy, residual in
      let dx = try context.batchNormalizeBackward(
        dy, x: x, mean: mean, variance: variance, epsilon: epsilon, gain: run.weight(gain),
        momentsAreFixed: !run.training, momentsOf: valid, gradients: &run.state.gradients,
        gainAt: gain.offset, shiftAt: shift.offset)
      return try context.sum(residual, dx)
    }
    return (y, pullback)
  }

  private func runningMoments(_ state: ModelState) -> (mean: [Float], variance: [Float]) {
    let middle = buffer + width
    return (Array(state.buffers[buffer..<middle]), Array(state.buffers[middle..<middle + width]))
  }

  private func move(_ state: ModelState, mean: [Float], variance: [Float], rows: Float) {
    let unbiased = rows / max(1, rows - 1)
    for column in 0..<width {
      state.buffers[buffer + column] += 0.1 * (mean[column] - state.buffers[buffer + column])
      let at = buffer + width + column
      state.buffers[at] += 0.1 * (variance[column] * unbiased - state.buffers[at])
    }
  }
}

/// A named part of a model's buffers: saved in checkpoints, not trained.
public struct BufferSlot: Hashable, Sendable {
  /// The name in checkpoints.
  public let name: String
  /// The first element.
  public let offset: Int
  /// Elements.
  public let count: Int
  /// The value at the start.
  public let initial: Float
}
