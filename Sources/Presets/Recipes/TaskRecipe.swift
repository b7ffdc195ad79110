import Basics
import Records
import Settings

/// Settings with which a small Transformer learns a task within minutes on one core: what `attnlab train TASK` does where a user says
/// nothing else.
///
/// A recipe is an experiment of the preset `recipes`, which is carried within the program: `attnlab run recipes` measures what each
/// reaches.
public struct TaskRecipe: Sendable {
  /// The preset's name.
  public static let preset = "recipes"
  /// The sections of an experiment that are settings.
  public static let sections = ["task", "model", "training"]

  /// The values by dotted path, as a preset writes them, without the task's id.
  public let values: [String: ParameterValue]

  /// The recipe of a task; `nil`: there is none.
  /// - Throws: `UsageError` when the preset does not read.
  public static func of(_ task: String) throws(UsageError) -> TaskRecipe? { try all.get()[task] }

  /// By task: the preset is read once, since lists ask for every task.
  private static let all = Result<[String: TaskRecipe], UsageError> { () throws(UsageError) in
    let file = EmbeddedPresets.file(preset)
    guard let text = EmbeddedPresets.text(of: file),
      let root = try PresetNode.parse(text, place: { "\(file):\($0)" })
    else { return [:] }
    var recipes: [String: TaskRecipe] = [:]
    for experiment in root["experiments"]?.elements ?? [] {
      var values = try values(of: experiment)
      guard case .string(let task)? = values.removeValue(forKey: "task.id") else { continue }
      recipes[task] = TaskRecipe(values: values)
    }
    return recipes
  }

  private static func values(of experiment: PresetNode) throws(UsageError) -> [String: ParameterValue] {
    var values: [String: ParameterValue] = [:]
    for section in experiment.entries ?? [] where sections.contains(section.key) {
      for entry in section.value.entries ?? [] {
        let path = "\(section.key).\(entry.key)"
        guard case .scalar(let text, let isQuoted) = entry.value.content else {
          throw entry.value.error("\(path): a recipe has one value of each setting")
        }
        values[path] = ParameterValue(written: text, isQuoted: isQuoted, at: path)
      }
    }
    return values
  }

  /// A line a section, as `attnlab list TASK` shows it.
  public var lines: [String] {
    Self.sections.compactMap { section in
      let own = values.filter { $0.key.hasPrefix(section + ".") }.sorted { $0.key < $1.key }
      let pairs = own.map { "\($0.key.dropFirst(section.count + 1))=\($0.value)" }
      return pairs.isEmpty ? nil : "  \(section): " + pairs.joined(separator: ", ")
    }
  }

  /// The values by path.
  public var json: JSONValue {
    .object(values.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: JSONValue($0.value)) })
  }
}

extension ParameterValue {
  /// The value that a preset writes for a setting. Lines of attention have commas of their own, and what is quoted is text.
  public init(written text: String, isQuoted: Bool, at path: String) {
    let isText =
      isQuoted || path == "task.id"
      || ["attention", "path", "start", "way"].contains { path.hasSuffix($0) }
    self = isText ? .string(text) : ParameterValue(parsing: text)
  }
}
