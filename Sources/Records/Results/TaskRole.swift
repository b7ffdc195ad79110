/// What a task is in a training on several.
public enum TaskRole: String, CaseIterable, Hashable, Sendable {
  /// What the model is for: evaluations, patience and fits go by it.
  case main
  /// What it learns beside.
  case auxiliary
}

/// A row whose losses are those of one of a training's tasks.
public protocol TaskRecord: Record {
  /// The column `loss_task`.
  var lossTask: String { get set }
  /// The column `role`.
  var role: TaskRole? { get set }
}

extension TaskRecord {
  /// Whether its losses are the main task's.
  public var isMain: Bool { role != .auxiliary }

  /// The columns that say so.
  /// - Parameter phrase: how they stand in a name; `nil`: as columns do.
  static func taskFields(phrase: String? = nil) -> [Field<Self>] {
    [
      .field(
        "loss_task", \.lossTask, .text, .contender, phrase: phrase,
        "the task whose losses the row has, where there are auxiliary ones; empty without any"),
      .optional(
        "role", \.role, .choice, .contender, phrase: phrase,
        "whether that is the main task or an auxiliary one; empty without any"),
    ]
  }
}
