/// What a task is in a training on several.
public enum TaskRole: String, CaseIterable, Hashable, Sendable {
  /// What the model is for: evaluations, patience and fits go by it.
  case main
  /// What it learns beside.
  case auxiliary
}
