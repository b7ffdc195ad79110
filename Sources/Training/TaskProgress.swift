import AttentionCore
import Basics
import Layers
import Models
import Tasks
import Tensors

/// What a training knows of one of its tasks.
public struct TaskProgress: Hashable, Sendable {
  /// Optimiser steps that took batches of it and learned from them.
  public internal(set) var steps = 0
  /// Tokens of these batches, padding included.
  public internal(set) var tokens = 0
  /// Its evaluations, resumed ones included; those of the main task stand in `Trainer.evaluations`.
  public internal(set) var evaluations: [Trainer.Evaluation] = []
  /// Its training losses since the last evaluation.
  var running = CrossEntropy()
}

extension Trainer {
  /// The loss of one task in a step.
  public struct TaskLoss: Hashable, Sendable {
    /// The auxiliary task; `nil`: the main one.
    public var task: String?
    /// The training loss, nats a labelled position, without its weight.
    public var loss: Double
  }

  /// The tasks of a step: 0 is the main one, n the auxiliary one number n.
  ///
  /// With weights all tasks whose weight is not 0. With shares one, which a key of seed and step draws, so that a resumed training
  /// takes the same ones.
  /// - Parameter step: its number, from 1.
  func tasks(ofStep step: Int) -> [Int] {
    let parts = auxiliary.map(\.part)
    guard parts.first?.share != nil else {
      return [0] + parts.indices.filter { parts[$0] != .weight(0) }.map { $0 + 1 }
    }
    var random = RandomKey(seed: UInt64(configuration.seed))("tasks")(step).generator()
    var rest = random.uniform()
    for (place, share) in parts.map({ $0.share ?? 0 }).enumerated() {
      if rest < share { return [place + 1] }
      rest -= share
    }
    return [0]
  }

  /// How often a step takes batches of each task on average, the main one first.
  public var expectedSteps: [Double] { AuxiliaryTask.expectedSteps(auxiliary) }

  /// The reader of a task by its number.
  func reader(_ number: Int) -> TaskReader {
    TaskReader(
      model: model, task: number == 0 ? task : auxiliary[number - 1].task,
      head: number == 0 ? nil : auxiliary[number - 1].name, configuration: configuration)
  }

  /// One optimiser step on batches of several tasks, without an evaluation.
  func advanceTasks() throws -> (losses: [TaskLoss], gradientNorm: Double) {
    let numbers = tasks(ofStep: step + 1)
    var read = progress
    let (losses, norm) = try model.advance(
      configuration, step: step + 1, &optimizer,
      tasks: numbers.map { number in
        let reader = reader(number)
        return StepTask(
          name: reader.head, factor: number == 0 ? 1 : auxiliary[number - 1].part.factor
        ) { pass in
          let input = try reader.input(.train, index: pass)
          read[number].tokens += input.tokens.count
          return input
        }
      })
    for (number, loss) in zip(numbers, losses) {
      read[number].steps += 1
      read[number].running = read[number].running + loss
      tokens += read[number].tokens - progress[number].tokens
    }
    progress = read
    if let place = numbers.firstIndex(of: 0) { running = running + losses[place] }
    return (
      zip(numbers, losses).map { TaskLoss(task: reader($0).head, loss: $1.mean) }, norm
    )
  }

  /// Evaluates all auxiliary tasks.
  func evaluateAuxiliary() throws -> [Evaluation] {
    try auxiliary.indices.map { place in
      let loss = try evaluate(.validation, batches: configuration.evaluationBatches, ofAuxiliary: place)
      guard loss.sum.isFinite else { throw TrainingDiverged(step: step, what: "validation loss") }
      let evaluation = Evaluation(
        step: step, tokens: progress[place + 1].tokens, trainLoss: progress[place + 1].running.mean,
        validationLoss: loss.mean, validationAccuracy: loss.accuracy)
      progress[place + 1].running = CrossEntropy()
      progress[place + 1].evaluations.append(evaluation)
      return evaluation
    }
  }

  /// The loss of the first batches of a split of an auxiliary task.
  /// - Parameters:
  ///   - split: which examples.
  ///   - batches: how many batches.
  ///   - place: the task's place in `auxiliary`, from 0.
  /// - Throws: `TrainingDiverged` when scores overflow; what the task and attention throw.
  public func evaluate(_ split: Split, batches: Int, ofAuxiliary place: Int) throws -> CrossEntropy {
    do { return try reader(place + 1).evaluate(split, batches: batches) } catch is ScoreOverflow {
      throw TrainingDiverged(step: step, what: "attention scores")
    }
  }
}

/// The batches of one task in a step.
struct StepTask {
  /// The auxiliary task; `nil`: the main one.
  let name: String?
  /// The factor on its loss.
  let factor: Double
  /// The rows of a pass; called with `(step − 1)·accumulation + pass`.
  let rows: (Int) throws -> ModelInput
}

extension TransformerModel {
  /// One optimiser step from `Σ_t factor_t · ∇L_t` of several tasks, L_t the mean over the task's passes.
  /// - Returns: the tasks' losses in their order, without factors, and the norm of the gradients before clipping.
  /// - Throws: `TrainingDiverged`; what tasks and attention throw.
  func advance(
    _ configuration: TrainingConfiguration, step: Int, _ optimizer: inout OptimizerState, tasks: [StepTask]
  ) throws -> (losses: [CrossEntropy], gradientNorm: Double) {
    clearGradients()
    var losses = tasks.map { _ in CrossEntropy() }
    let passes = configuration.accumulation
    do {
      for number in (step - 1) * passes..<step * passes {
        let dropout = RandomKey(seed: UInt64(configuration.seed))("dropout")(number)
        for (place, task) in tasks.enumerated() {
          losses[place] =
            losses[place]
            + (try accumulateGradients(
              try task.rows(number), smoothing: configuration.labelSmoothing,
              factor: task.factor / Double(passes), key: task.name.map { dropout("task")($0) } ?? dropout))
        }
      }
    } catch is ScoreOverflow { throw TrainingDiverged(step: step, what: "attention scores") }
    guard losses.allSatisfy(\.sum.isFinite) else { throw TrainingDiverged(step: step, what: "training loss") }
    return (losses, try optimizer.apply(configuration, step: step, to: self))
  }
}
