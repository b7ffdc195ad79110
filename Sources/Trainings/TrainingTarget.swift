import Basics
import ImageTasks
import Models
import Presets
import Records
import Settings
import Tasks
import Training

/// What the steps of trainings are to reach: an entry of the field `targets` of an experiment.
///
/// ```yaml
/// targets:
///   - {model.width: 64, figure: fraction_of_limit, at_least: 0.6}
///   - {model.width: [128, 256], task.length: 256, figure: fraction_of_limit, at_least: 0.75}
/// ```
/// Besides `figure` and `at_least` an entry has conditions: settings by dotted path, each with the value that it must have,
/// or a list of such values. A training has the first target whose conditions it meets.
public struct TrainingTarget: Sendable {
  /// A figure of a training's steps, named as JSON names it.
  public enum Figure: String, CaseIterable, Sendable {
    /// The share of the multiply-add peak at the median of the warm steps.
    case fractionOfLimit = "fraction_of_limit"
  }

  /// The figure and what it is to reach.
  public let goal: Goal<Figure>
  /// Settings that must have one of some values.
  private let conditions: [(path: String, values: [ParameterValue])]

  /// Reads an entry of `targets`.
  /// - Throws: `UsageError` with place and what is allowed.
  init(_ node: PresetNode) throws(UsageError) {
    var reader = try FieldReader(node)
    goal = try Goal(&reader, of: node)
    var conditions: [(path: String, values: [ParameterValue])] = []
    for entry in node.entries ?? [] where !Self.own.contains(entry.key) {
      guard Self.isSetting(entry.key) else {
        throw UsageError(
          "\(entry.place): targets: \(shown(entry.key)) is no setting; write task.NAME, model.NAME or training.NAME"
            + TrainingSettings.suggestion(for: entry.key))
      }
      conditions.append((entry.key, try TrainingPlan.values(entry.value, entry.key)))
    }
    self.conditions = conditions
  }

  private static let own: Set = ["figure", "at_least"]

  /// Whether a dotted path is that of a setting.
  private static func isSetting(_ path: String) -> Bool {
    let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { return false }
    switch parts[0] {
    case "model": return ModelConfiguration.parameters.contains { $0.name == parts[1] }
    case "training": return TrainingConfiguration.parameters.contains { $0.name == parts[1] }
    case "task": return parts[1] == "id" || isSettingOfTask(parts[1])
    default: return false
    }
  }

  private static func isSettingOfTask(_ name: String) -> Bool {
    TaskCatalog.standard.types.contains { TaskDescription($0).parameters.contains { $0.name == name } }
  }

  /// Whether a training with these settings, by dotted path, is to reach it.
  package func applies(to settings: [String: String]) -> Bool {
    conditions.allSatisfy { condition in
      settings[condition.path].map { found in
        condition.values.contains { Self.isSame(found, "\($0)") }
      } ?? false
    }
  }

  /// Whether two texts are one value: the same words, or the same number.
  private static func isSame(_ found: String, _ wanted: String) -> Bool {
    if found == wanted { return true }
    guard let number = Double(wanted) else { return false }
    return Double(found) == number
  }
}

extension Preset {
  /// The targets of the trainings of every experiment that has some, by its name.
  public var trainingTargets: [String: [TrainingTarget]] {
    byExperiment(of: TrainingExperiment.self, \.targets)
  }
}
