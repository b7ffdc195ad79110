import Basics
import Models
import Records

extension TrainingComparison {
  /// Names of trainings: the settings in which they differ, and no others.
  struct Labels {
    /// A column of settings, and the settings in it that differ.
    private let settings: [(column: Column, keys: [String])]
    /// Other fields of the identity that differ.
    private let others: [Field<TrainingRow>]
    private let hasBudgets: Bool
    /// Where there are several experiments: the names within each of them.
    private let within: [String: Self]

    private typealias Column = @Sendable (TrainingRow) -> String
    private static let task: Column = { $0.taskConfiguration }
    private static let model: Column = { $0.modelConfiguration }
    private static let training: Column = { $0.trainingConfiguration }

    init(_ rows: [TrainingRow]) {
      let trainings = rows.filter(\.isTraining)
      func varying(_ column: Column, _ defaults: [String: String], ignoring ignored: Set<String>) -> [String]
      {
        let all = trainings.map { TrainingRow.settings(column($0)) }
        let keys = Set(all.flatMap(\.keys)).subtracting(ignored)
        // A newer file lacks settings of models that are none any more: that says nothing.
        let missing: String? = defaults.isEmpty ? "" : nil
        return keys.filter { key in Set(all.compactMap { $0[key] ?? defaults[key] ?? missing }).count > 1 }
          .sorted()
      }
      let task = varying(Self.task, [:], ignoring: [])
      let model = varying(
        Self.model, Self.modelDefaults,
        ignoring: [
          "seed", "vocabulary", "maximum_length", "classes", "kind", "task_heads", "output_vocabulary",
        ])
      // Rates are tuned to sizes and steps have a column: they name a training only when nothing else does.
      let tuned: Set = ["seed", "learning_rate", "warmup", "steps", "batch"]
      var training = varying(Self.training, [:], ignoring: tuned)
      if (task + model + training).isEmpty {
        training = varying(Self.training, [:], ignoring: ["seed"])
      } else {
        training += Self.untied(trainings, by: task + model + training, tuned: tuned)
      }
      settings = [(Self.task, task), (Self.model, model), (Self.training, training)]
      hasBudgets = Set(trainings.map(\.computeBudget)).count > 1
      let isSwept = Set(trainings.map(\.experiment)).count > 1
      within = isSwept ? Dictionary(grouping: rows, by: \.experiment).mapValues { Self($0) } : [:]
      others = Self.others.filter { field in Set(trainings.map(field.text)).count > 1 }
    }

    /// What is named elsewhere: settings by the settings that differ, an evaluation in a column of its own, the seed by
    /// the spread; what is left tells rows apart by its own words.
    private static let named: Set = [
      "experiment", "task_configuration", "attention", "model_configuration", "training_configuration",
      "seed",
      "evaluation", "evaluation_attention", "evaluation_task", "evaluation_memory", "evaluation_rotary",
      "compute_budget", "held_out", "test_count", "loss_task", "role",
    ]
    private static let others = TrainingRow.identity.filter {
      $0.role != .origin && !named.contains($0.name)
    }

    /// A setting that an older file does not name had the meaning of today's default.
    private static let modelDefaults = ModelConfiguration().settings.mapValues(\.description)

    /// What is equal in trainings that differ in their seed alone.
    static func key(_ row: TrainingRow) -> String {
      func without(_ settings: [String: String]) -> String {
        settings.filter { $0.key != "seed" }.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
          .joined(separator: ";")
      }
      let model = modelDefaults.merging(TrainingRow.settings(row.modelConfiguration)) { $1 }
      let plain = TrainingRow.identity.filter {
        $0.role != .origin && !["seed", "model_configuration", "training_configuration"].contains($0.name)
          // How many positions were scored tells evaluations of one model apart, not trainings.
          && !($0.name == "test_count" && row.isTraining)
      }
      return [
        row.key(plain), without(model), without(TrainingRow.settings(row.trainingConfiguration)),
      ].joined(separator: "\u{1E}")
    }

    /// Tuned settings that still differ between trainings of one name.
    private static func untied(_ rows: [TrainingRow], by keys: [String], tuned: Set<String>) -> [String] {
      func all(_ row: TrainingRow) -> [String: String] {
        [task, model, training].reduce(into: [:]) { $0.merge(TrainingRow.settings($1(row))) { $1 } }
      }
      let named = grouped(rows) { row in
        let settings = all(row)
        return keys.map { settings[$0] ?? "" }.joined(separator: ";") + row["compute_budget"]
      }
      return tuned.subtracting(["seed"]).filter { key in
        named.contains { Set($0.map { all($0)[key] ?? "" }).count > 1 }
      }.sorted()
    }

    func label(_ row: TrainingRow, origin: String = "") -> String {
      let label = parts(row).filter { !$0.isEmpty }.joined(separator: ", ")
      let named = [label.isEmpty ? row.attention : label, origin].filter { !$0.isEmpty }
      return named.joined(separator: ", ") + (row.isHeldOut ? " (held out)" : "")
    }

    /// The experiment with what differs within it; of one experiment what differs.
    private func parts(_ row: TrainingRow) -> [String] {
      if let own = within[row.experiment] { return [row.experiment] + own.parts(row) }
      var parts: [String] = []
      for (column, keys) in settings {
        let own = TrainingRow.settings(column(row))
        parts += keys.compactMap { key in
          own[key].map { key == "attention" ? $0 : "\(key) \($0)" }
        }
      }
      if hasBudgets, let budget = row.computeBudget { parts.append("C \(Quantity.significant(budget, 3))") }
      return parts + others.map { $0.words(row) }
    }

    func evaluation(_ row: TrainingRow) -> String {
      // Of several tasks every row says whose losses it has.
      if row.role == .auxiliary { return row.lossTask }
      guard !row.isTraining else { return row.role == nil ? "" : row.lossTask }
      let own = TrainingRow.settings(row.taskConfiguration)
      let other = TrainingRow.settings(row.evaluationTask)
      let changed = other.filter { own[$0.key] != $0.value }.sorted { $0.key < $1.key }
      let attention = row.evaluationAttention
      let memory = row.evaluationMemory.map { ["memory \($0)"] } ?? []
      let parts =
        (attention == row.attention ? [] : [attention]) + memory
        + (row.evaluationRotary.isEmpty ? [] : ["rotary \(row.evaluationRotary)"])
        + changed.map { "\($0.key) \($0.value)" }
      return parts.isEmpty ? "as trained" : parts.joined(separator: ", ")
    }
  }
}
