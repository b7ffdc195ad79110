/// Training whose attention scores, loss, gradients (for AdamW their squares too) or weights are no longer finite.
public struct TrainingDiverged: Error, Hashable, Sendable, CustomStringConvertible {
  /// The step at which it was seen; `nil`: after the last.
  public let step: Int?
  /// What is not finite: `attention scores`, `gradients`, `weights`, `training loss`.
  public let what: String

  /// Creates the error.
  public init(step: Int?, what: String) { (self.step, self.what) = (step, what) }

  /// One line.
  public var description: String {
    let place = step.map { " of step \($0)" } ?? " at the end"
    return "training diverged: the \(what)\(place) \(what.hasSuffix("loss") ? "is" : "are") not finite; "
      + "a lower learning_rate or a clip helps"
  }
}
