import Basics
import Foundation
import Transformer

/// A row of `runs.csv`: one training, or one further evaluation of it.
public struct TrainingRow: Sendable {
  /// The columns, in order; new ones are added at the end.
  public static let columns = [
    "run_id", "experiment", "task", "task_configuration", "attention", "model_configuration",
    "training_configuration", "seed", "status", "reason", "parameters", "parameters_non_embedding", "tokens",
    "compute_flops", "steps", "train_loss", "validation_loss", "validation_accuracy", "test_loss",
    "test_accuracy", "entropy_rate", "seconds", "tokens_per_second", "fraction_of_peak", "threads", "isa",
    "evaluation", "evaluation_attention", "evaluation_task", "started_at", "compute_budget",
    "attention_bytes", "test_count", "optimal_loss", "held_out", "predicted_loss", "predicted_low",
    "predicted_high", "predicted_by",
  ]

  /// The values by column; a column that is missing is empty.
  public var values: [String: String]

  /// Reads the rows of a file; columns that an older file lacks are empty.
  /// - Throws: `UsageError` when it is no `runs.csv`.
  public static func read(_ path: String) throws(UsageError) -> [TrainingRow] {
    let table = try CSVTable(contentsOf: path)
    guard isHeader(table.header) else {
      throw UsageError("\(path): no runs.csv of this program: it has no run_id and evaluation")
    }
    try table.requireWhole()
    return table.rows.map { fields in
      TrainingRow(values: Dictionary(zip(table.header, fields)) { first, _ in first })
    }
  }

  /// Whether a folder has the row of a training; a torn last line, which a killed run can leave, is removed.
  /// - Throws: `UsageError` when `runs.csv` cannot be read.
  public static func isRecorded(_ id: String, in folder: RunFolder) throws(UsageError) -> Bool {
    guard FileManager.default.fileExists(atPath: folder.runs) else { return false }
    _ = try RowWriter.repair(folder.runs)
    guard FileManager.default.contents(atPath: folder.runs)?.isEmpty == false else { return false }
    return try read(folder.runs).contains { $0["run_id"] == id }
  }

  /// Whether a header is that of a `runs.csv`.
  public static func isHeader(_ header: [String]) -> Bool {
    header.contains("run_id") && header.contains("evaluation")
  }

  /// The fields in the order of the columns.
  public var fields: [String] { TrainingRow.columns.map { values[$0] ?? "" } }

  /// A value as text; empty when there is none.
  public subscript(column: String) -> String { values[column] ?? "" }

  /// A value as a number.
  public func number(_ column: String) -> Double? { Double(self[column]) }

  /// Whether it is the training's own row, not a further evaluation.
  var isTraining: Bool { self["evaluation"] == "test" }
  /// Whether it was kept out of fits, to be predicted.
  var isHeldOut: Bool { self["held_out"] == "true" }

  /// The row as one object.
  public var json: JSONValue {
    .object(
      TrainingRow.columns.map { name in
        let text = self[name]
        let value: JSONValue = Int(text).map { .int($0) } ?? Double(text).map { .double($0) } ?? .string(text)
        return JSONValue.Member(key: name, value: text.isEmpty ? .null : value)
      })
  }

  /// A number as it stands in the CSV; empty for what is not finite.
  static func text(_ value: Double?) -> String { value.map { $0.isFinite ? "\($0)" : "" } ?? "" }

  /// `name=value` pairs of a configuration column.
  func settings(_ column: String) -> [String: String] {
    let pairs = self[column].split(separator: ";").map {
      $0.split(separator: "=", maxSplits: 1).map(String.init)
    }
    return Dictionary(pairs.filter { $0.count == 2 }.map { ($0[0], $0[1]) }) { first, _ in first }
  }
}

/// The columns of `curves.csv`: one row an evaluation during training.
public enum CurveRow {
  /// The columns, in order.
  public static let columns = [
    "run_id", "experiment", "step", "tokens", "compute_flops", "learning_rate", "train_loss",
    "validation_loss", "validation_accuracy", "gradient_norm", "seconds",
  ]
}
