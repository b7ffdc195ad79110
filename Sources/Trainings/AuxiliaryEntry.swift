import Basics
import ImageTasks
import LongText
import Presets
import Records
import Settings
import Tasks
import Training

/// An auxiliary task as a preset or a command asks for it: `labelled-text(length=128, weight=0.5)`.
public struct AuxiliaryEntry: Hashable, Sendable {
  /// The task's id.
  public var task: String
  /// What its head is called; empty: as the task.
  public var name = ""
  /// The task's settings.
  public var settings: [String: ParameterValue] = [:]
  /// The factor on its loss, of which every step has a batch; `nil` with a share.
  public var weight: Double?
  /// The share of steps that are its; `nil` with a weight.
  public var share: Double?

  /// What its head is called in checkpoints and tables.
  public var headName: String { name.isEmpty ? task : name }

  /// Reads a description.
  /// - Parameters:
  ///   - task: the task's id.
  ///   - settings: those of the task, and `name`, `weight` or `share`.
  /// - Throws: `ConfigurationError` for a weight or share that is none, or both.
  public init(_ task: String, settings: [String: ParameterValue]) throws(ConfigurationError) {
    func number(_ field: String) throws(ConfigurationError) -> Double? {
      guard let value = settings[field] else { return nil }
      switch value {
      case .int(let number): return Double(number)
      case .double(let number) where number.isFinite: return number
      default: throw ConfigurationError(field: field, value: "\(value)", allowed: "a number")
      }
    }
    self.task = task
    (weight, share) = (try number("weight"), try number("share"))
    guard weight == nil || share == nil else {
      throw ConfigurationError(
        field: "share", value: "beside weight", allowed: "one of the two for the auxiliary task \(task)")
    }
    if weight == nil, share == nil { weight = 1 }
    name = settings["name"].map { "\($0)" } ?? ""
    self.settings = settings.filter { !["name", "weight", "share"].contains($0.key) }
  }

  /// Reads a line such as `labelled-text(length=128, weight=0.5), text(share=0.2)`.
  /// - Throws: `ConfigurationError` that quotes the part that is wrong.
  public static func parse(_ line: String) throws(ConfigurationError) -> [AuxiliaryEntry] {
    let parts: [LayerAttention]
    do throws(ConfigurationError) { parts = try LayerAttention.parse(line) } catch {
      throw ConfigurationError(
        field: "auxiliary", value: error.value,
        allowed: "a list such as: labelled-text(length=128, weight=0.5), text(weight=0.1)")
    }
    var entries: [AuxiliaryEntry] = []
    for part in parts { entries.append(try AuxiliaryEntry(part.id, settings: part.settings)) }
    return entries
  }

  /// Entries as `parse` reads them.
  public static func line(_ entries: [AuxiliaryEntry]) -> String {
    entries.map { entry in
      var settings = entry.settings
      if !entry.name.isEmpty { settings["name"] = .string(entry.name) }
      if let weight = entry.weight { settings["weight"] = .double(weight) }
      if let share = entry.share { settings["share"] = .double(share) }
      return LayerAttention(entry.task, settings: settings).description
    }.joined(separator: ", ")
  }

  /// The task, ready to be learned.
  /// - Throws: `ConfigurationError`, `TextError`.
  func prepared() throws -> AuxiliaryTask {
    AuxiliaryTask(
      name: headName,
      task: try TaskCatalog.standard.prepared(task, settings: settings, key: TrainingJob.taskKey),
      part: share.map { .share($0) } ?? .weight(weight ?? 1))
  }

  /// The alternatives that the field `auxiliary` of a preset lists: mappings are the tasks of every training; lists of mappings are a
  /// sweep over such lists, of which an empty one is a training of the main task alone. A list of values in a mapping is a sweep, too.
  /// - Throws: `UsageError` with its place.
  static func alternatives(_ node: PresetNode?) throws(UsageError) -> [[AuxiliaryEntry]] {
    guard let node else { return [[]] }
    guard let list = node.elements else {
      throw node.error("auxiliary: it takes a list of mappings such as {id: labelled-text, weight: 0.5}")
    }
    guard list.contains(where: { $0.elements != nil }) else { return try sets(list) }
    var found: [[AuxiliaryEntry]] = []
    for element in list {
      guard let own = element.elements else {
        throw element.error("auxiliary: \(element.summary) stands among lists; it takes a list of mappings")
      }
      found += try sets(own)
    }
    return found
  }

  private static func sets(_ list: [PresetNode]) throws(UsageError) -> [[AuxiliaryEntry]] {
    var sets: [[AuxiliaryEntry]] = [[]]
    for element in list {
      let variants = try entries(element)
      sets = sets.flatMap { set in variants.map { set + [$0] } }
      guard sets.count <= TrainingPlan.mostJobs else {
        throw element.error("auxiliary: the lists make more than \(TrainingPlan.mostJobs) trainings")
      }
    }
    return sets
  }

  private static func entries(_ node: PresetNode) throws(UsageError) -> [AuxiliaryEntry] {
    guard let entries = node.entries, let id = node["id"]?.text else {
      throw node.error(
        "auxiliary: \(node.summary) is not allowed; it takes a mapping such as {id: labelled-text, weight: 0.5}"
      )
    }
    var variants: [[String: ParameterValue]] = [[:]]
    for entry in entries where entry.key != "id" {
      variants = try TrainingPlan.sweep(variants, over: entry.value, as: entry.key, of: "auxiliary")
    }
    return try variants.map { settings throws(UsageError) in
      do throws(ConfigurationError) { return try AuxiliaryEntry(id, settings: settings) } catch {
        throw node.error("auxiliary: \(error)")
      }
    }
  }
}

extension [AuxiliaryEntry] {
  /// The tasks, ready to be learned.
  /// - Throws: `ConfigurationError`, `TextError`; for two heads of one name `ConfigurationError` for the field `auxiliary`.
  func prepared() throws -> [AuxiliaryTask] {
    let names = map(\.headName)
    if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
      throw ConfigurationError(
        field: "auxiliary", value: "\(twice) twice", allowed: "names that differ; name=… gives a head another"
      )
    }
    return try map { try $0.prepared() }
  }
}
