import AttentionCore
import Basics
import Foundation
import ImageTasks
import Models
import Training
import Records
import Settings
import Tasks

/// Trainings of a preset: `experiment: training`.
///
/// `task`, `model` and `training` are mappings of settings; a list where a value could stand is a sweep, and
/// `points` is a list of mappings with dotted paths (`model.width: 64`) that vary together. `held_out` is such a list
/// of trainings that are kept out of fits, predicted from the others, and made last. `seed` may be a list. `auxiliary` is a list of
/// tasks that are learned beside the main one; `targets` says what their steps are to reach.
public struct TrainingPlan: Sendable {
  /// All trainings, in order.
  public let jobs: [TrainingJob]
  /// What their steps are to reach.
  public let targets: [TrainingTarget]

  init(_ reader: inout FieldReader, catalog: Catalog, name: String) throws(UsageError) {
    let place = reader.place
    var bases: [[String: ParameterValue]] = [[:]]
    // Where settings were written: a file's line, or a flag of the command.
    var places: [String: String] = [:]
    for section in ["task", "model", "training"] {
      guard let node = reader.node(section) else { continue }
      guard let entries = node.entries else {
        if section == "task", let text = node.text {
          bases = bases.map { $0.merging(["task.id": .string(text)]) { $1 } }
          continue
        }
        throw node.error("\(section): \(node.summary) is not allowed; it takes a mapping of settings")
      }
      for entry in entries {
        let path = "\(section).\(entry.key)"
        places[path] = entry.value.place
        bases = try TrainingPlan.sweep(bases, over: entry.value, as: path, of: shown(path))
      }
    }
    let points = try TrainingPlan.points("points", &reader)
    let heldOut = try TrainingPlan.points("held_out", &reader)
    if heldOut != nil, points == nil {
      throw UsageError("\(place): held_out: it needs points, from which it is predicted")
    }
    let seeds = try reader.sweep("seed", .integer(0...Int.max), default: [1])
    let budgets = try reader.node("compute").map { node throws(UsageError) in try TrainingPlan.budgets(node) }
    let auxiliary = try AuxiliaryEntry.alternatives(reader.node("auxiliary"))
    let evaluations = try TrainingPlan.evaluations(reader.node("evaluate"))
    let threads = try reader.value("threads", .threads, default: 0)
    targets = try reader.targets { node throws(UsageError) in try TrainingTarget(node) }
    try reader.finish()
    let count = (points?.count ?? 1) + (heldOut?.count ?? 0)
    guard
      count * bases.count <= TrainingPlan.mostJobs
        / max(1, seeds.count * auxiliary.count * (budgets?.count ?? 1))
    else {
      throw UsageError("\(place): the lists make more than \(TrainingPlan.mostJobs) trainings")
    }
    var jobs: [TrainingJob] = []
    func add(_ points: [[String: ParameterValue]], heldOut: Bool) throws(UsageError) {
      for point in points {
        for base in bases {
          let settings = base.merging(point) { $1 }
          for budget in settings["compute"].map({ [$0.number] }) ?? budgets ?? [nil] {
            for others in auxiliary {
              for seed in seeds {
                var job = try TrainingPlan.job(
                  settings.filter { $0.key != "compute" }, place: place, field: "points: ")
                (job.experiment, job.seed, job.compute, job.evaluations) = (name, seed, budget, evaluations)
                (job.isHeldOut, job.threads) = (heldOut, threads == 0 ? nil : threads)
                job.auxiliary = others
                jobs.append(job)
              }
            }
          }
        }
      }
    }
    try add(points ?? [[:]], heldOut: false)
    try add(heldOut ?? [], heldOut: true)
    if let twice = Dictionary(grouping: jobs, by: \.id).values.first(where: { $0.count > 1 }) {
      throw UsageError(
        "\(place): points: \(shown(TrainingExperiment.names(of: jobs)(twice[0]))) appears twice")
    }
    for job in jobs {
      let model: ModelConfiguration
      do {
        model = try job.resolved(catalog: catalog).model
      } catch {
        let field = (error as? ConfigurationError)?.field ?? ""
        let written = ["task", "model", "training"].compactMap { places["\($0).\(field)"] }.first
        throw UsageError("\(written ?? place): \(error)")
      }
      for evaluation in job.evaluations {
        var changed = job
        changed.taskSettings.merge(evaluation.taskSettings) { $1 }
        if let attention = evaluation.attention {
          changed.modelSettings["attention"] = .string(attention)
          // What older presets set for the whole model belongs to the attention that is replaced.
          for former in catalog.formerModelSettings { changed.modelSettings[former] = nil }
        }
        if let rotary = evaluation.rotary { changed.modelSettings["rotary"] = .string(rotary) }
        // The model stays as it was trained: the other task must be one that it can answer.
        do {
          let other = try changed.resolved(catalog: catalog)
          try Trainer.check(model, for: other.task)
          try Trainer.check(memory: evaluation.memory, of: other.model, for: other.task, in: catalog)
        } catch {
          throw UsageError("\(place): evaluate: \(error)")
        }
      }
    }
    self.jobs = jobs
  }

  /// The most trainings of an experiment.
  static let mostJobs = 10_000

  /// A list of mappings with dotted paths, each a point or a sweep of its own; `nil`: the field is absent.
  private static func points(
    _ field: String, _ reader: inout FieldReader
  ) throws(UsageError) -> [[String: ParameterValue]]? {
    guard let node = reader.node(field) else { return nil }
    guard let list = node.elements, !list.isEmpty else {
      throw node.error("\(field): it takes a list of mappings such as {model.width: 64, training.steps: 400}")
    }
    var points: [[String: ParameterValue]] = []
    for element in list {
      guard let entries = element.entries else { throw element.error("\(field): a mapping is expected") }
      var variants: [[String: ParameterValue]] = [[:]]
      for entry in entries {
        variants = try sweep(variants, over: entry.value, as: entry.key, of: field)
        if entry.key == "compute", variants.contains(where: { $0["compute"]?.number == nil }) {
          _ = try budgets(entry.value)
        }
      }
      points += variants
    }
    return points
  }

  /// The training that dotted paths describe.
  /// - Parameters:
  ///   - settings: values by dotted path, such as `model.width`.
  ///   - place: where they stand, in words.
  ///   - field: the field of a preset that lists them, with a colon.
  /// - Throws: `UsageError`.
  public static func job(
    _ settings: [String: ParameterValue], place: String, field: String = ""
  ) throws(UsageError) -> TrainingJob {
    func noPath(_ path: String) -> UsageError {
      UsageError(
        "\(place): \(field)\(shown(path)) is no path; write task.NAME, model.NAME or training.NAME"
          + TrainingSettings.suggestion(for: path))
    }
    guard case .string(let id)? = settings["task.id"] else {
      throw UsageError(
        "\(place): task: an id is missing; it takes one of \(TaskCatalog.standard.ids.joined(separator: ", "))"
      )
    }
    var job = TrainingJob(task: id)
    for (path, value) in settings where path != "task.id" {
      let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw noPath(path)
      }
      switch parts[0] {
      case "task": job.taskSettings[parts[1]] = value
      case "model": job.modelSettings[parts[1]] = value
      case "training": job.trainingSettings[parts[1]] = value
      default: throw noPath(path)
      }
    }
    return job
  }

  /// Every one of some mappings with every value of a setting.
  /// - Parameters:
  ///   - mappings: what stands so far.
  ///   - node: a value, or a list of them.
  ///   - path: the setting.
  ///   - field: what an error about too many begins with.
  /// - Throws: `UsageError` with its place.
  static func sweep(
    _ mappings: [[String: ParameterValue]], over node: PresetNode, as path: String, of field: String
  ) throws(UsageError) -> [[String: ParameterValue]] {
    let values = try values(node, path)
    guard mappings.count * values.count <= mostJobs else {
      throw node.error("\(field): the lists make more than \(mostJobs) trainings")
    }
    return mappings.flatMap { base in values.map { base.merging([path: $0]) { $1 } } }
  }

  static func values(_ node: PresetNode, _ path: String) throws(UsageError) -> [ParameterValue] {
    guard !node.alternatives.isEmpty else {
      throw node.error("\(shown(path)): an empty list; it takes values")
    }
    var values: [ParameterValue] = []
    for element in node.alternatives {
      guard case .scalar(let text, let isQuoted) = element.content else {
        throw element.error(
          "\(shown(path)): \(element.summary) is not allowed; it takes a value or a list of values")
      }
      values.append(ParameterValue(written: text, isQuoted: isQuoted, at: path))
    }
    return values
  }

  private static func budgets(_ node: PresetNode) throws(UsageError) -> [Double?] {
    var budgets: [Double?] = []
    for element in node.alternatives {
      guard let value = element.scalar?.number, value > 0, value.isFinite else {
        throw element.error(
          "compute: \(element.summary) is not allowed; it takes training operations such as 1e12")
      }
      budgets.append(value)
    }
    return budgets
  }

  private static func evaluations(_ node: PresetNode?) throws(UsageError) -> [TrainingEvaluation] {
    guard let node else { return [] }
    guard let list = node.elements else { throw node.error("evaluate: it takes a list of mappings") }
    var found: [TrainingEvaluation] = []
    for element in list {
      var reader = try FieldReader(element)
      let attention = reader.node("attention")?.alternatives.map(\.text) ?? [nil]
      let turns = reader.node("rotary")?.alternatives.map(\.text) ?? [nil]
      let memories: [Int?] = try reader.sweep("memory", .integer(0...(1 << 24)), default: [])
      let batches = try reader.value("batches", .integer(1...1_000_000), default: 8)
      var settings: [[String: ParameterValue]] = [[:]]
      if let task = reader.node("task") {
        guard let entries = task.entries else { throw task.error("task: it takes a mapping of settings") }
        for entry in entries {
          let values = try values(entry.value, entry.key)
          settings = settings.flatMap { base in values.map { base.merging([entry.key: $0]) { $1 } } }
        }
      }
      try reader.finish()
      for attention in attention {
        for memory in memories + (memories.isEmpty ? [nil] : []) {
          for rotary in turns {
            found += settings.map {
              TrainingEvaluation(
                attention: attention, taskSettings: $0, memory: memory, rotary: rotary, batches: batches)
            }
          }
        }
      }
    }
    return found
  }
}

extension ParameterValue {
  /// A positive, finite number; `nil` for anything else.
  fileprivate var number: Double? {
    switch self {
    case .int(let value) where value > 0: Double(value)
    case .double(let value) where value > 0 && value.isFinite: value
    default: nil
    }
  }
}
