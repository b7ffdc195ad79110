import Basics

/// A row of `steps.csv`: one optimiser step of a training.
public struct StepRow: TaskRecord, Hashable {
  /// The column `run_id`.
  public var runID = ""
  /// The column `experiment`.
  public var experiment = ""
  /// The column `step`.
  public var step: Int?
  /// The column `tokens`.
  public var tokens: Int?
  /// The column `loss`.
  public var loss: Double?
  /// The column `learning_rate`.
  public var learningRate: Double?
  /// The column `gradient_norm`.
  public var gradientNorm: Double?
  /// The column `seconds`.
  public var seconds: Double?
  /// The column `loss_task`.
  public var lossTask = ""
  /// The column `role`.
  public var role: TaskRole?

  /// Creates an empty row.
  public init() {}

  /// The columns, in order.
  public static let schema: [Field<StepRow>] =
    [
      .field("run_id", \.runID, .text, .contender, "the training, as in runs.csv").required,
      .field("experiment", \.experiment, .text, .contender, "the experiment of the preset"),
      .optional("step", \.step, .count(), .length, unit: "steps", "the optimiser step, from 1").required,
      .optional("tokens", \.tokens, .count(), .quantity, unit: "tokens", "training tokens so far").required,
      .optional(
        "loss", \.loss, .real, .quantity, unit: "nats",
        "training loss of the step's sequences; of pretext masked a mean squared error"),
      .optional("learning_rate", \.learningRate, .amount, .quantity, "of this step"),
      .optional("gradient_norm", \.gradientNorm, .amount, .quantity, "before clipping"),
      .optional("seconds", \.seconds, .duration, .quantity, unit: "s", "since the training began"),
    ] + taskFields()

  /// Reads the rows of a file.
  /// - Throws: `UsageError` when it has no `run_id`, or a field has the wrong type.
  public static func read(_ path: String) throws(UsageError) -> [StepRow] {
    let table = try CSVTable(contentsOf: path)
    _ = try table.index(of: "run_id")
    return try rows(of: table)
  }
}
