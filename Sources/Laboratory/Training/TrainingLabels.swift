import Transformer

extension TrainingComparison {
  /// Names of trainings: the settings in which they differ, and no others.
  struct Labels {
    private let columns: [(column: String, keys: [String])]
    private let isSweptByExperiment: Bool
    private let hasBudgets: Bool

    init(_ rows: [TrainingRow]) {
      let trainings = rows.filter(\.isTraining)
      func varying(_ column: String, ignoring ignored: Set<String>) -> [String] {
        // A setting that an older file does not name had the meaning of today's default.
        let defaults = column == "model_configuration" ? ModelConfiguration().settings : [:]
        let all = trainings.map { $0.settings(column) }
        let keys = Set(all.flatMap(\.keys)).subtracting(ignored)
        return keys.filter { key in Set(all.map { $0[key] ?? defaults[key]?.description ?? "" }).count > 1 }
          .sorted()
      }
      let task = varying("task_configuration", ignoring: [])
      let model = varying(
        "model_configuration", ignoring: ["seed", "vocabulary", "maximumLength", "classes", "kind"])
      // Rates are tuned to sizes and steps have a column: they name a training only when nothing else does.
      let tuned: Set = ["seed", "learningRate", "warmup", "steps", "batch"]
      var training = varying("training_configuration", ignoring: tuned)
      if (task + model + training).isEmpty {
        training = varying("training_configuration", ignoring: ["seed"])
      } else {
        training += Self.untied(trainings, by: task + model + training, tuned: tuned)
      }
      columns = [
        ("task_configuration", task), ("model_configuration", model), ("training_configuration", training),
      ]
      hasBudgets = Set(trainings.map { $0["compute_budget"] }).count > 1
      isSweptByExperiment = Set(trainings.map { $0["experiment"] }).count > 1
    }

    /// Tuned settings that still differ between trainings of one name.
    private static func untied(_ rows: [TrainingRow], by keys: [String], tuned: Set<String>) -> [String] {
      func all(_ row: TrainingRow) -> [String: String] {
        ["task_configuration", "model_configuration", "training_configuration"]
          .reduce(into: [:]) { $0.merge(row.settings($1)) { $1 } }
      }
      let named = TrainingLaw.groups(of: rows) { row in
        let settings = all(row)
        return keys.map { settings[$0] ?? "" }.joined(separator: ";") + row["compute_budget"]
      }
      return tuned.subtracting(["seed"]).filter { key in
        named.contains { Set($0.map { all($0)[key] ?? "" }).count > 1 }
      }.sorted()
    }

    func label(_ row: TrainingRow) -> String {
      var parts = isSweptByExperiment ? [row["experiment"]] : []
      for (column, keys) in columns {
        let settings = row.settings(column)
        parts += keys.compactMap { key in
          settings[key].map { key == "attention" ? $0 : "\(key) \($0)" }
        }
      }
      if hasBudgets, let budget = row.number("compute_budget") {
        parts.append("C \(Quantity.significant(budget, 3))")
      }
      let label = parts.joined(separator: ", ")
      return (label.isEmpty ? row["attention"] : label) + (row.isHeldOut ? " (held out)" : "")
    }

    func evaluation(_ row: TrainingRow) -> String {
      guard !row.isTraining else { return "" }
      let own = row.settings("task_configuration"), other = row.settings("evaluation_task")
      let changed = other.filter { own[$0.key] != $0.value }.sorted { $0.key < $1.key }
      let attention = row["evaluation_attention"]
      let parts = (attention == row["attention"] ? [] : [attention]) + changed.map { "\($0.key) \($0.value)" }
      return parts.isEmpty ? "as trained" : parts.joined(separator: ", ")
    }
  }
}
