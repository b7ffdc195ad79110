import Tensors

/// The moments of AdamW or the momentum of SGD, over a model's flat parameters.
struct OptimizerState {
  var first: Tensor
  var second: Tensor?

  init(_ configuration: TrainingConfiguration, count: Int) throws(MemoryLimitExceeded) {
    first = try Tensor(zeros: [count])
    second = configuration.optimizer == .adamw ? try Tensor(zeros: [count]) : nil
  }

  /// One step from the model's gradients; returns their norm before clipping. Weight decay touches matrices only.
  mutating func apply(
    _ configuration: TrainingConfiguration, step: Int, to model: TransformerModel
  ) throws -> Double {
    let norm = try model.gradientNorm()
    guard norm.isFinite else { throw TrainingDiverged(step: step) }
    let factor = configuration.clip > 0 && norm > configuration.clip ? configuration.clip / norm : 1
    let rate = configuration.learningRate(at: step, width: model.configuration.width)
    let compute = model.compute
    for (range, decays) in model.layout.decayRanges {
      let decay = decays ? configuration.weightDecay : 0
      if second != nil {
        // Taken out and put back, so that the buffer has one owner while it is written.
        guard var moments = second.take() else { continue }
        compute.adamW(
          &model.state.weights, gradients: model.state.gradients, first: &first, second: &moments,
          range: range,
          decay: decay,
          .init(
            learningRate: rate, beta1: configuration.beta1, beta2: configuration.beta2,
            epsilon: configuration.adamEpsilon, step: step, gradientFactor: factor))
        second = moments
      } else {
        compute.sgd(
          &model.state.weights, gradients: model.state.gradients, momentum: &first, range: range,
          learningRate: rate,
          momentum: configuration.momentum, decay: decay, gradientFactor: factor)
      }
    }
    return norm
  }
}

/// Training whose gradients are no longer finite.
public struct TrainingDiverged: Error, Hashable, Sendable, CustomStringConvertible {
  /// The step at which it was seen.
  public let step: Int
  /// One line.
  public var description: String {
    "training diverged: the gradients of step \(step) are not finite; a lower learningRate or a clip helps"
  }
}

extension TransformerModel {
  /// AdamW steps on one batch without clipping, schedule or dropout, for comparison with other frameworks.
  /// - Returns: the mean loss before every step.
  /// - Throws: `TrainingDiverged`; what attention throws.
  public func fit(
    _ input: ModelInput, steps: Int, learningRate: Double, weightDecay: Double
  ) throws -> [Double] {
    var configuration = TrainingConfiguration()
    (configuration.learningRate, configuration.weightDecay) = (learningRate, weightDecay)
    (configuration.schedule, configuration.warmup, configuration.clip) = (.constant, 0, 0)
    var optimizer = try OptimizerState(configuration, count: layout.count)
    var losses: [Double] = []
    for step in 0..<steps {
      clearGradients()
      losses.append(try accumulateGradients(input, key: RandomKey(seed: 0), training: false).mean)
      _ = try optimizer.apply(configuration, step: step + 1, to: self)
    }
    return losses
  }
}
