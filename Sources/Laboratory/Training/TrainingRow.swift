import Foundation
import Transformer

/// A row of `runs.csv`: one training, or one further evaluation of it.
public struct TrainingRow: Sendable {
  /// The columns, in order; new ones are added at the end.
  public static let columns = [
    "run_id", "experiment", "task", "task_configuration", "attention", "model_configuration",
    "training_configuration", "seed", "status", "reason", "parameters", "parameters_non_embedding", "tokens",
    "compute_flops", "steps", "train_loss", "validation_loss", "validation_accuracy", "test_loss",
    "test_accuracy",
    "entropy_rate", "seconds", "tokens_per_second", "fraction_of_peak", "threads", "isa", "evaluation",
    "evaluation_attention", "evaluation_task", "started_at",
  ]

  /// The values by column; a column that is missing is empty.
  public var values: [String: String]

  /// The fields in the order of the columns.
  public var fields: [String] { TrainingRow.columns.map { values[$0] ?? "" } }

  /// The row as one object.
  public var json: JSONValue {
    .object(
      TrainingRow.columns.map { name in
        let text = values[name] ?? ""
        let value: JSONValue = Int(text).map { .int($0) } ?? Double(text).map { .double($0) } ?? .string(text)
        return JSONValue.Member(key: name, value: text.isEmpty ? .null : value)
      })
  }

  /// A number as it stands in the CSV; empty for what is not finite.
  static func text(_ value: Double?) -> String { value.map { $0.isFinite ? "\($0)" : "" } ?? "" }
}

/// The columns of `curves.csv`: one row an evaluation during training.
public enum CurveRow {
  /// The columns, in order.
  public static let columns = [
    "run_id", "experiment", "step", "tokens", "compute_flops", "learning_rate", "train_loss",
    "validation_loss",
    "validation_accuracy", "gradient_norm", "seconds",
  ]
}
