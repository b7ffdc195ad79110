import Tensors

/// LayerNorm, RMSNorm or BatchNorm over x `[rows, width]`.
///
/// `y = (x − μ)/√(σ² + ε)·gain + shift`. LayerNorm: μ, σ² of each row. RMSNorm: μ = 0, σ² the mean square of each row,
/// no shift. BatchNorm: μ, σ² of each column over the batch in training, running averages (momentum 0.1, unbiased
/// variance) in evaluation; padded rows do not enter them.
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
    case columns(Tensor, mean: [Float], variance: [Float], of: [Range<Int>]?)
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

  /// - Parameter valid: runs of rows that are no padding; `nil`: all.
  func forward(_ x: Tensor, valid: [Range<Int>]? = nil, _ run: LayerRun) throws -> (Tensor, Saved) {
    let context = run.context
    guard kind == .batch, let shift else {
      let (y, statistics) = try context.normalize(
        x, gain: run.weight(gain), shift: shift.map { run.weight($0) }, centred: kind == .layer,
        epsilon: epsilon)
      return (y, .rows(x, statistics))
    }
    if run.training {
      let (mean, variance) = context.columnMoments(x, of: valid)
      let rows = Float(valid.map { $0.reduce(0) { $0 + $1.count } } ?? x.shape[0]),
        unbiased = rows / max(1, rows - 1)
      for column in 0..<width {
        run.state.buffers[buffer + column] += 0.1 * (mean[column] - run.state.buffers[buffer + column])
        let at = buffer + width + column
        run.state.buffers[at] += 0.1 * (variance[column] * unbiased - run.state.buffers[at])
      }
      let y = try context.scaleColumns(
        x, mean: mean, variance: variance, epsilon: epsilon, gain: run.weight(gain),
        shift: run.weight(shift))
      return (y, .columns(x, mean: mean, variance: variance, of: valid))
    }
    let mean = Array(run.state.buffers[buffer..<buffer + width])
    let variance = Array(run.state.buffers[buffer + width..<buffer + 2 * width])
    let y = try context.scaleColumns(
      x, mean: mean, variance: variance, epsilon: epsilon, gain: run.weight(gain), shift: run.weight(shift))
    return (y, .fixed(x, mean: mean, variance: variance))
  }

  /// The gradient of x, with that of a residual connection past the norm added.
  func backward(_ dy: Tensor, _ saved: Saved, adding residual: Tensor? = nil, _ run: LayerRun) throws
    -> Tensor
  {
    switch saved {
    case .rows(let x, let statistics):
      return try run.context.normalizeBackward(
        dy, x: x, gain: run.weight(gain), statistics: statistics, centred: kind == .layer,
        adding: residual, gradients: &run.state.gradients, gainAt: gain.offset, shiftAt: shift?.offset)
    case .columns(let x, let mean, let variance, let valid):
      return try columns(dy, x, mean, variance, adding: residual, run, momentsAreFixed: false, of: valid)
    case .fixed(let x, let mean, let variance):
      return try columns(dy, x, mean, variance, adding: residual, run, momentsAreFixed: true, of: nil)
    }
  }

  private func columns(
    _ dy: Tensor, _ x: Tensor, _ mean: [Float], _ variance: [Float], adding residual: Tensor?,
    _ run: LayerRun,
    momentsAreFixed: Bool, of valid: [Range<Int>]?
  ) throws -> Tensor {
    let dx = try run.context.batchNormalizeBackward(
      dy, x: x, mean: mean, variance: variance, epsilon: epsilon, gain: run.weight(gain),
      momentsAreFixed: momentsAreFixed, momentsOf: valid, gradients: &run.state.gradients,
      gainAt: gain.offset, shiftAt: shift?.offset ?? gain.offset)
    return try residual.map { try run.context.add($0, dx) } ?? dx
  }
}

/// The rows of a batch that are no padding, as runs of rows of `[batch·length, width]`; `nil`: all.
func validRows(_ lengths: [Int]?, batch: Int, rows: Int) -> [Range<Int>]? {
  guard let lengths, batch > 0 else { return nil }
  let length = rows / batch
  return lengths.enumerated().map { $0 * length..<$0 * length + min($1, length) }
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
