import Tensors

/// LayerNorm, RMSNorm or BatchNorm over x `[rows, width]`.
///
/// `y = (x − μ)/√(σ² + ε)·gain + shift`. LayerNorm: μ, σ² of each row. RMSNorm: μ = 0, σ² the mean square of each row,
/// no shift. BatchNorm: μ, σ² of each column over the batch in training, running averages (momentum 0.1, unbiased
/// variance) in evaluation.
struct Normalization: Sendable {
  let kind: ModelConfiguration.Norm
  let gain: ParameterSlot
  let shift: ParameterSlot?
  let epsilon: Double
  /// Where the running mean and variance stand in the model's buffers (BatchNorm).
  let buffer: Int
  let width: Int

  enum Saved {
    case rows(Tensor, NormStatistics)
    case columns(Tensor, mean: [Float], variance: [Float])
    case fixed(Tensor, mean: [Float], variance: [Float])
  }

  init(
    _ name: String, _ configuration: ModelConfiguration, in layout: inout ParameterLayout,
    buffers: inout [BufferSlot]
  ) {
    kind = configuration.norm
    epsilon = configuration.epsilon
    width = configuration.width
    gain = layout.add(name + ".weight", [width], .constant(1), decays: false)
    shift = kind == .rms ? nil : layout.add(name + ".bias", [width], .constant(0), decays: false)
    buffer = buffers.last.map { $0.offset + $0.count } ?? 0
    if kind == .batch {
      buffers.append(BufferSlot(name: name + ".running_mean", offset: buffer, count: width, initial: 0))
      buffers.append(
        BufferSlot(name: name + ".running_var", offset: buffer + width, count: width, initial: 1))
    }
  }

  func forward(_ x: Tensor, _ pass: Pass) throws -> (Tensor, Saved) {
    let compute = pass.compute
    guard kind == .batch, let shift else {
      let (y, statistics) = try compute.normalize(
        x, gain: pass.weight(gain), shift: shift.map { pass.weight($0) }, centred: kind == .layer,
        epsilon: epsilon)
      return (y, .rows(x, statistics))
    }
    if pass.training {
      let (mean, variance) = compute.columnMoments(x)
      let rows = Float(x.shape[0]), unbiased = rows / max(1, rows - 1)
      for column in 0..<width {
        pass.state.buffers[buffer + column] += 0.1 * (mean[column] - pass.state.buffers[buffer + column])
        let at = buffer + width + column
        pass.state.buffers[at] += 0.1 * (variance[column] * unbiased - pass.state.buffers[at])
      }
      let y = try compute.scaleColumns(
        x, mean: mean, variance: variance, epsilon: epsilon, gain: pass.weight(gain),
        shift: pass.weight(shift))
      return (y, .columns(x, mean: mean, variance: variance))
    }
    let mean = Array(pass.state.buffers[buffer..<buffer + width])
    let variance = Array(pass.state.buffers[buffer + width..<buffer + 2 * width])
    let y = try compute.scaleColumns(
      x, mean: mean, variance: variance, epsilon: epsilon, gain: pass.weight(gain), shift: pass.weight(shift))
    return (y, .fixed(x, mean: mean, variance: variance))
  }

  /// The gradient of x, with that of a residual connection past the norm added.
  func backward(_ dy: Tensor, _ saved: Saved, adding residual: Tensor? = nil, _ pass: Pass) throws -> Tensor {
    switch saved {
    case .rows(let x, let statistics):
      return try pass.compute.normalizeBackward(
        dy, x: x, gain: pass.weight(gain), statistics: statistics, centred: kind == .layer,
        adding: residual, gradients: &pass.state.gradients, gainAt: gain.offset, shiftAt: shift?.offset)
    case .columns(let x, let mean, let variance), .fixed(let x, let mean, let variance):
      var isFixed = false
      if case .fixed = saved { isFixed = true }
      let dx = try pass.compute.batchNormalizeBackward(
        dy, x: x, mean: mean, variance: variance, epsilon: epsilon, gain: pass.weight(gain),
        momentsAreFixed: isFixed,
        gradients: &pass.state.gradients, gainAt: gain.offset, shiftAt: shift?.offset ?? gain.offset)
      return try residual.map { try pass.compute.add($0, dx) } ?? dx
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
