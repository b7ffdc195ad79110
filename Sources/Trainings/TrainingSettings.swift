import AttentionCore
import Basics
import Foundation
import Models
import Training
import Presets
import Records
import Settings
import Tasks

/// The settings of one training by dotted path (`model.width`), and where each was written.
public struct TrainingSettings: Sendable {
  /// The values by path.
  public private(set) var values: [String: ParameterValue] = [:]
  private var places: [String: String] = [:]

  /// No settings.
  public init() {}

  /// Those of a task's recipe; none where it has none.
  /// - Throws: `UsageError` when the preset of recipes does not read.
  public init(recipeOf task: String) throws(UsageError) { values = try TaskRecipe.of(task)?.values ?? [:] }

  /// Reads the sections task, model and training of a YAML file.
  /// - Throws: `UsageError` with file and line.
  public init(file: String) throws(UsageError) {
    let text: String
    do throws(InputFile.Failure) {
      text = try InputFile.text(file)
    } catch {
      throw UsageError(error.description)
    }
    guard let read = try PresetNode.parse(text, place: { "\(file):\($0)" }) else {
      throw UsageError("\(file): empty; it takes the sections \(Self.sectionNames)")
    }
    let root = try read.inTodaysSpelling(keeping: [])
    guard let sections = root.entries else {
      throw root.error("\(root.summary) stands where the sections \(Self.sectionNames) are expected")
    }
    for section in sections {
      guard Self.sections.contains(section.key) else {
        throw UsageError(
          "\(section.place): \(shown(section.key)): unknown; known are the sections \(Self.sectionNames)"
            + Basics.suggestion(near: section.key, among: Self.sections))
      }
      if section.key == "task", let id = section.value.text {
        set("task.id", .string(id), at: section.place)
        continue
      }
      guard let entries = section.value.entries else {
        throw section.value.error(
          "\(section.key): \(section.value.summary) is not allowed; it takes a mapping of settings")
      }
      for entry in entries {
        let path = "\(section.key).\(entry.key)"
        let values = try TrainingPlan.values(entry.value, path)
        guard values.count == 1 else {
          throw entry.value.error("\(shown(path)): one value is expected, not a list")
        }
        set(path, values[0], at: entry.place)
      }
    }
  }

  /// The settings that a command names: those of a file, and what changes them.
  /// - Parameters:
  ///   - task: the task's id.
  ///   - file: a YAML file; `nil`: none.
  ///   - sets: `path=value` each.
  ///   - hasRecipe: whether the task's recipe holds where they say nothing.
  /// - Throws: `UsageError` for a file that cannot be read or names another task, and for a pair that is none.
  public init(
    of task: String, file: String?, sets: [String], hasRecipe: Bool
  ) throws(UsageError) {
    if let file { try self.init(file: file) } else { self.init() }
    if hasRecipe {
      values.merge(try TrainingSettings(recipeOf: task).values) { own, _ in own }
    }
    if case .string(let other)? = values["task.id"], other != task, let place = place(of: "task.id") {
      throw UsageError("\(place): task: \(other); the command names the task \(task)")
    }
    for (path, value) in try ParameterValue.settings(parsing: sets) {
      guard path != "task.id" else { throw UsageError("--set task.id: the command names the task \(task)") }
      // Attention lines and paths are text, whatever they look like.
      let pair = sets.first { Spelling.today(String($0.prefix { $0 != "=" }).trimmed) == path }
      let text = pair.map { String($0.drop { $0 != "=" }.dropFirst()) } ?? "\(value)"
      if path.hasSuffix(".attention") {
        set(path, .string(Spelling.noted(line: text)))
      } else {
        set(path, [".path", ".start"].contains { path.hasSuffix($0) } ? .string(text) : value)
      }
    }
    set("task.id", .string(task))
  }

  /// Sets a value; `place` says where it was written, `nil`: on the command line.
  public mutating func set(_ path: String, _ value: ParameterValue, at place: String? = nil) {
    values[path] = value
    places[path] = place
  }

  /// Where a setting was written, when that is a file.
  public func place(of path: String) -> String? { places[path] }

  /// An error about a setting, with the place where it was written in front.
  public func located(_ error: ConfigurationError) -> any Error {
    let paths = Self.sections.map { "\($0).\(error.field)" }
    guard let place = paths.lazy.compactMap({ places[$0] }).first else { return error }
    return UsageError("\(place): \(error)")
  }

  static let sections = TaskRecipe.sections
  private static let sectionNames = "task, model and training"

  /// What a path that names no section may have meant; empty when nothing is near.
  static func suggestion(for path: String) -> String {
    let parts = path.split(separator: ".", maxSplits: 1)
    var known =
      ModelConfiguration.parameters.map { "model.\($0.name)" }
      + TrainingConfiguration.parameters.map { "training.\($0.name)" }
    // Each task has parameters of its own.
    if parts.count == 2 { known.append("task.\(parts[1])") }
    // Without a section the setting alone was meant.
    let names = known.map { String($0.drop { $0 != "." }.dropFirst()) }
    let meant = parts.count == 1 ? nearestName(to: path, among: names) : nil
    let place = meant.flatMap { names.firstIndex(of: $0) }
    return Basics.suggestion(near: place.map { known[$0] } ?? path, among: known)
  }
}
