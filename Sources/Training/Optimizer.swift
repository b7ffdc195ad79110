import AttentionCore
import Basics
import Layers
import Models
import Ranks
import Settings
import Tensors

/// The moments of AdamW or the momentum of SGD, over a model's flat parameters.
struct OptimizerState {
  var first: Tensor
  var second: Tensor?
  /// The moving average of the loss of steps, in nats a labelled position; `nil` before the first.
  var averageLoss: Double?

  init(_ configuration: TrainingConfiguration, count: Int) throws(MemoryLimitExceeded) {
    first = try Tensor(zeros: [count])
    second = configuration.optimizer == .adamw ? try Tensor(zeros: [count]) : nil
  }

  /// Whether all moments are finite numbers. - Complexity: O(parameters).
  var isFinite: Bool {
    [first, second].compactMap(\.self).allSatisfy(\.isFinite)
  }

  /// One step from the model's gradients and those of its penalties; returns their norm before clipping. Weight decay touches matrices
  /// only; what has bounds is clamped to them after the step.
  mutating func apply(
    _ configuration: TrainingConfiguration, step: Int, to model: TransformerModel
  ) throws -> Double {
    model.addPenalties()
    let norm = try model.gradientNorm()
    let factor = configuration.clip > 0 && norm > configuration.clip ? configuration.clip / norm : 1
    // Beyond 2⁶³ a square overflows, and an infinite second moment would stop its weight for ever.
    guard norm.isFinite, second == nil || norm * factor < 0x1p63 else {
      throw TrainingDiverged(step: step, what: "gradients or their squares")
    }
    let rate = configuration.learningRate(at: step, width: model.configuration.width)
    let context = model.context
    for (range, decays) in model.layout.decayRanges {
      let decay = decays ? configuration.weightDecay : 0
      if second != nil {
        // Taken out and put back, so that the buffer has one owner while it is written.
        guard var moments = second.take() else { continue }
        context.adamW(
          &model.state.weights, gradients: model.state.gradients, first: &first, second: &moments,
          range: range,
          decay: decay,
          .init(
            learningRate: rate, beta1: configuration.beta1, beta2: configuration.beta2,
            epsilon: configuration.adamEpsilon, step: step, gradientFactor: factor))
        second = moments
      } else {
        context.sgd(
          &model.state.weights, gradients: model.state.gradients, momentum: &first, range: range,
          learningRate: rate,
          momentum: configuration.momentum, decay: decay, gradientFactor: factor)
      }
    }
    model.holdInBounds()
    return norm
  }
}

extension TransformerModel {
  /// One optimiser step from the mean of the gradients of `accumulation` passes.
  /// - Parameters:
  ///   - step: its number, from 1; decides the learning rate and the dropout.
  ///   - communicator: the ranks that share the rows; `nil`: this process has all.
  ///   - share: how they share sequences; `nil`: sequences are whole.
  ///   - rows: the rows of a pass and what they continue; called with `(step − 1)·accumulation + pass`.
  /// - Returns: the loss over all passes, and the norm of the gradients before clipping.
  /// - Throws: `TrainingDiverged`; what the task and attention throw.
  func advance(
    _ configuration: TrainingConfiguration, step: Int, _ optimizer: inout OptimizerState,
    over communicator: (any Communicator)? = nil, sharing share: SequenceShare? = nil,
    rows: (Int) throws -> (input: ModelInput, memory: SegmentMemory?)
  ) throws -> (loss: CrossEntropy, gradientNorm: Double) {
    let loss: CrossEntropy
    state.expectedLoss = optimizer.averageLoss
    do {
      loss =
        if let share {
          try sumPartGradients(configuration, step: step, share) { try rows($0).input }
        } else if configuration.gradientSum == .rows {
          try sumRowGradients(configuration, step: step, over: communicator) { try rows($0).input }
        } else {
          try sumPassGradients(configuration, step: step, rows: rows)
        }
    } catch is ScoreOverflow { throw TrainingDiverged(step: step, what: "attention scores") }
    guard loss.sum.isFinite else { throw TrainingDiverged(step: step, what: "training loss") }
    // 0.9 as Xu et al., 2015 (section 4.1), have it.
    optimizer.averageLoss = optimizer.averageLoss.map { 0.9 * $0 + 0.1 * loss.mean } ?? loss.mean
    return (loss, try optimizer.apply(configuration, step: step, to: self))
  }

  /// Adds up the gradients of a step's passes, one after another.
  private func sumPassGradients(
    _ configuration: TrainingConfiguration, step: Int,
    rows: (Int) throws -> (input: ModelInput, memory: SegmentMemory?)
  ) throws -> CrossEntropy {
    clearGradients()
    var loss = CrossEntropy()
    for pass in 0..<configuration.accumulation {
      let number = (step - 1) * configuration.accumulation + pass
      let (input, memory) = try rows(number)
      loss =
        loss
        + (try accumulateGradients(
          input, smoothing: configuration.labelSmoothing,
          factor: 1 / Double(configuration.accumulation),
          key: RandomKey(seed: UInt64(configuration.seed))("dropout")(number), after: memory))
    }
    return loss
  }

  /// All steps of a training on the same rows, for comparison with other frameworks.
  /// - Parameters:
  ///   - input: the rows.
  ///   - configuration: `accumulation` cuts the rows into as many passes; batches and evaluations are not used.
  /// - Returns: the mean loss of every step, before it.
  /// - Throws: `ConfigurationError` when the rows cannot be cut so; `TrainingDiverged`; what attention throws.
  public func fit(_ input: ModelInput, _ configuration: TrainingConfiguration) throws -> [Double] {
    let passes = configuration.accumulation
    guard input.batch % passes == 0 else {
      throw ConfigurationError(
        field: "accumulation", value: "\(passes)", allowed: "a divisor of the \(input.batch) rows")
    }
    let rows = input.batch / passes
    var optimizer = try OptimizerState(configuration, count: layout.count)
    let losses = try (1...configuration.steps).map { step in
      try advance(configuration, step: step, &optimizer) { number in
        let first = number % passes * rows
        return (try input.rows(first..<first + rows), nil)
      }.loss.mean
    }
    guard isFinite else { throw TrainingDiverged(step: nil, what: "weights") }
    return losses
  }
}
