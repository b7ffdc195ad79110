import Basics
import Models

extension TrainingRun {
  /// Refuses to go on where more steps would change nothing.
  /// - Parameters:
  ///   - checkpoint: the file from which it goes on.
  ///   - extending: whether it was to be given another end.
  /// - Throws: `UsageError` for a training with more steps behind it than it is to have, or one that patience has ended.
  public func checkEnd(_ checkpoint: String, extending: Bool) throws(UsageError) {
    let (step, steps) = (trainer.step, trainer.configuration.steps)
    guard step <= steps else {
      throw UsageError(
        "\(checkpoint): the checkpoint is at step \(step), beyond the \(steps) steps asked for;"
          + " --fresh starts over (the old folder is kept)")
    }
    guard extending, trainer.isFinished, step < steps else { return }
    throw UsageError(
      "--extend: patience ended the training at step \(step), after "
        + "\(counted(trainer.evaluationsWithoutBetter, "evaluation")) without a better validation loss; "
        + "--set training.patience=0 goes on to step \(steps)")
  }

  /// What another end means for the schedule, in one line; `nil`: nothing is left to do.
  public var extensionNote: String? {
    let configuration = trainer.configuration, step = trainer.step
    guard step < configuration.steps else { return nil }
    let way = "goes on from step \(step) to step \(configuration.steps)"
    guard configuration.schedule == .cosine else {
      return
        "\(way); the schedule \(configuration.schedule.rawValue) knows no end: the weights become those of "
        + "\(configuration.steps) steps from the start"
    }
    let next = configuration.learningRate(at: step + 1, width: trainer.model.configuration.width)
    return
      "\(way); the cosine now ends there: the rate goes on at \(Quantity.significant(next, 3)), "
      + "not as if all \(configuration.steps) steps had been asked for at the start (column extended_from)"
  }
}
