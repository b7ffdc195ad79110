import Basics

/// A row of `curves.csv`: one evaluation during a training.
public struct CurveRow: TaskRecord, Hashable {
  /// The column `run_id`.
  public var runID = ""
  /// The column `experiment`.
  public var experiment = ""
  /// The column `step`.
  public var step: Int?
  /// The column `tokens`.
  public var tokens: Int?
  /// The column `compute_flops`.
  public var computeFlops: Double?
  /// The column `learning_rate`.
  public var learningRate: Double?
  /// The column `train_loss`.
  public var trainLoss: Double?
  /// The column `validation_loss`.
  public var validationLoss: Double?
  /// The column `validation_accuracy`.
  public var validationAccuracy: Double?
  /// The column `gradient_norm`.
  public var gradientNorm: Double?
  /// The column `seconds`.
  public var seconds: Double?
  /// The column `bounded_mean`.
  public var boundedMean: Double?
  /// The column `loss_task`.
  public var lossTask = ""
  /// The column `role`.
  public var role: TaskRole?

  /// Creates an empty row.
  public init() {}

  /// The columns, in order.
  public static let schema: [Field<CurveRow>] =
    [
      .field("run_id", \.runID, .text, .contender, "the training, as in runs.csv").required,
      .field("experiment", \.experiment, .text, .contender, "the experiment of the preset"),
      .optional("step", \.step, .count(), .length, unit: "steps", "optimiser steps so far").required,
      .optional("tokens", \.tokens, .count(), .quantity, unit: "tokens", "training tokens so far").required,
      .optional(
        "compute_flops", \.computeFlops, .amount, .quantity, unit: "operations",
        "counted training operations so far"),
      .optional("learning_rate", \.learningRate, .amount, .quantity, "of this step"),
      .optional(
        "train_loss", \.trainLoss, .real, .quantity, unit: "nats",
        "mean since the evaluation before; of pretext masked a mean squared error, also below"),
      .optional(
        "validation_loss", \.validationLoss, .real, .quantity, unit: "nats", "on the validation split"),
      .optional(
        "validation_accuracy", \.validationAccuracy, .fraction, .quantity, "of the scored positions"),
      .optional("gradient_norm", \.gradientNorm, .amount, .quantity, "before clipping"),
      .optional("seconds", \.seconds, .duration, .quantity, unit: "s", "since the training began"),
      .optional(
        "bounded_mean", \.boundedMean, .real, .quantity, "mean of the learned numbers that are held in bounds"
      ),
    ] + taskFields()

  /// Reads the rows of a file.
  /// - Throws: `UsageError` when it has no `run_id`, or a field has the wrong type.
  public static func read(_ path: String) throws(UsageError) -> [CurveRow] {
    let table = try CSVTable(contentsOf: path)
    _ = try table.index(of: "run_id")
    return try rows(of: table)
  }
}
