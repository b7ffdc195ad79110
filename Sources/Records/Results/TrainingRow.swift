import Basics
import Foundation

/// A row of `runs.csv`: one training, or one further evaluation of it. `TrainingRow+Schema.swift` says what each field
/// means.
public struct TrainingRow: Traceable, TaskRecord, Hashable {
  /// What is evaluated.
  public enum Evaluation: String, CaseIterable, Hashable, Sendable {
    /// The trained model on the test split of its own task.
    case test
    /// The trained model under other conditions.
    case changed
    /// The trained model on the test split of an auxiliary task.
    case auxiliary
  }

  /// How a training ended.
  public enum Status: String, CaseIterable, Hashable, Sendable {
    /// Trained.
    case ok
    /// It went wrong; the reason says how.
    case error
  }

  // What was trained.
  /// The column `run_id`.
  public var runID = ""
  /// The column `experiment`.
  public var experiment = ""
  /// The column `task`.
  public var task = ""
  /// The column `task_configuration`.
  public var taskConfiguration = ""
  /// The column `attention`.
  public var attention = ""
  /// The column `model_configuration`.
  public var modelConfiguration = ""
  /// The column `training_configuration`.
  public var trainingConfiguration = ""
  /// The column `seed`.
  public var seed: Int?
  /// The column `threads`.
  public var threads: Int?
  /// The column `isa`.
  public var isa = ""
  /// The column `evaluation`.
  public var evaluation: Evaluation?
  /// The column `evaluation_attention`.
  public var evaluationAttention = ""
  /// The column `evaluation_task`.
  public var evaluationTask = ""
  /// The column `evaluation_memory`.
  public var evaluationMemory: Int?
  /// The column `evaluation_rotary`.
  public var evaluationRotary = ""
  /// The column `compute_budget`.
  public var computeBudget: Double?
  /// The column `held_out`.
  public var isHeldOut = false
  // How it went.
  /// The column `status`.
  public var status: Status?
  /// The column `reason`.
  public var reason = ""
  /// The column `started_at`.
  public var startedAt = ""
  // What was found.
  /// The column `parameters`.
  public var parameters: Int?
  /// The column `parameters_non_embedding`.
  public var parametersNonEmbedding: Int?
  /// The column `tokens`.
  public var tokens: Int?
  /// The column `compute_flops`.
  public var computeFlops: Double?
  /// The column `steps`.
  public var steps: Int?
  /// The column `train_loss`.
  public var trainLoss: Double?
  /// The column `validation_loss`.
  public var validationLoss: Double?
  /// The column `validation_accuracy`.
  public var validationAccuracy: Double?
  /// The column `test_loss`.
  public var testLoss: Double?
  /// The column `test_accuracy`.
  public var testAccuracy: Double?
  /// The column `test_exact_match`.
  public var testExactMatch: Double?
  /// The column `test_examples`.
  public var testExamples: Int?
  /// The column `test_count`.
  public var testCount: Int?
  /// The column `entropy_rate`.
  public var entropyRate: Double?
  /// The column `optimal_loss`.
  public var optimalLoss: Double?
  /// The column `seconds`.
  public var seconds: Double?
  /// The column `tokens_per_second`.
  public var tokensPerSecond: Double?
  /// The column `fraction_of_peak`.
  public var fractionOfPeak: Double?
  /// The column `attention_bytes`.
  public var attentionBytes: Double?
  /// The column `memory_bytes`.
  public var memoryBytes: Int?
  /// The column `predicted_loss`.
  public var predictedLoss: Double?
  /// The column `predicted_low`.
  public var predictedLow: Double?
  /// The column `predicted_high`.
  public var predictedHigh: Double?
  /// The column `predicted_by`.
  public var predictedBy = ""
  /// The column `bounded_mean`.
  public var boundedMean: Double?
  /// The column `cache_bytes`.
  public var cacheBytes: Double?
  /// The column `ranks`.
  public var ranks = 1
  /// The column `extended_from`.
  public var extendedFrom = ""
  /// The column `way_tokens_read`.
  public var wayRead: Int?
  /// The column `way_tokens_kept`.
  public var wayKept: Int?
  /// The column `way_seconds`.
  public var waySeconds: Double?
  // Of trainings on several tasks.
  /// The column `auxiliary`.
  public var auxiliary = ""
  /// The column `loss_task`.
  public var lossTask = ""
  /// The column `role`.
  public var role: TaskRole?
  /// The column `task_weight`.
  public var taskWeight: Double?
  /// The column `task_share`.
  public var taskShare: Double?
  /// The column `task_steps`.
  public var taskSteps: Int?
  /// The column `task_tokens`.
  public var taskTokens: Int?
  // Where it was made.
  /// The column `machine`.
  public var machine = ""
  /// The column `host`.
  public var host = ""
  /// The column `commit`.
  public var commit = ""
  /// The column `program`.
  public var program = ""
  /// The file that it was read from together with others; no column.
  public var source = ""

  /// Creates an empty row.
  public init() {}

  /// Reads the rows of a file; columns that an older file lacks are empty.
  /// - Throws: `UsageError` when it is no `runs.csv`, or a field has the wrong type.
  public static func read(
    _ path: String, dialect: CSVDialect = CSVDialect()
  ) throws(UsageError) -> [TrainingRow] {
    let table = try CSVTable(contentsOf: path, dialect: dialect)
    guard isHeader(table.header) else {
      throw UsageError("\(path): no runs.csv of this program: it has no run_id and evaluation")
    }
    try table.requireWhole()
    return try rows(of: table)
  }

  /// Whether a header is that of a `runs.csv`.
  public static func isHeader(_ header: [String]) -> Bool {
    header.contains("run_id") && header.contains("evaluation")
  }

  /// Whether it was trained.
  public var isDone: Bool { status == .ok }

  /// Whether it is the training's own row, not a further evaluation.
  package var isTraining: Bool { evaluation == .test }
}
