import AttentionCore
import Foundation

extension TrainingPlan {
  /// Reads the sections task, model and training of a YAML file as dotted paths.
  /// - Throws: `UsageError` with file and line.
  public static func sections(file: String) throws(UsageError) -> [String: ParameterValue] {
    guard let data = FileManager.default.contents(atPath: file),
      let text = String(validating: data, as: UTF8.self)
    else { throw UsageError("\(file): no such file, or it cannot be read as text") }
    guard let root = try PresetNode.parse(text, place: { "\(file):\($0)" }) else {
      throw UsageError("\(file): empty; it takes the sections task, model and training")
    }
    var settings: [String: ParameterValue] = [:]
    for section in root.entries ?? [] {
      guard ["task", "model", "training"].contains(section.key), let entries = section.value.entries else {
        throw UsageError(
          "\(section.place): \(section.key): unknown; known are the sections task, model and training")
      }
      for entry in entries {
        let path = "\(section.key).\(entry.key)"
        let values = try TrainingPlan.values(entry.value, path)
        guard values.count == 1 else { throw entry.value.error("\(path): one value is expected, not a list") }
        settings[path] = values[0]
      }
    }
    return settings
  }
}
