import AttentionCore
import Foundation
import Tasks
import Tensors
import Transformer

/// One training as a preset asks for it.
public struct TrainingJob: Hashable, Sendable {
  /// The name of the experiment.
  public var experiment = ""
  /// The task's id.
  public var task: String
  /// The task's settings.
  public var taskSettings: [String: ParameterValue] = [:]
  /// The model's settings; what the task fixes (vocabulary, classes, length) is filled in.
  public var modelSettings: [String: ParameterValue] = [:]
  /// The training's settings.
  public var trainingSettings: [String: ParameterValue] = [:]
  /// What the trained model is evaluated on besides its own test split.
  public var evaluations: [TrainingEvaluation] = []
  /// The seed of weights, training batches and dropout.
  public var seed = 1
  /// Training operations that the run may spend; its steps follow from it. `nil`: `training.steps` counts.
  public var compute: Double?

  /// The key of every task: a seed changes weights and training examples, never the task itself (a Markov source of
  /// known entropy stays the same source) nor its validation and test examples.
  static let taskKey = RandomKey(seed: 1)("task")

  /// Creates a job.
  public init(task: String) { self.task = task }

  /// A name that says everything that decides the result: rows of a run are found by it.
  public var id: String {
    func text(_ settings: [String: ParameterValue]) -> String {
      settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ";")
    }
    let parts = [
      experiment, task, text(taskSettings), text(modelSettings), text(trainingSettings), "\(seed)",
      compute.map { "\($0)" } ?? "", evaluations.map(\.id).joined(separator: "|"),
    ]
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in parts.joined(separator: "\u{1F}").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }

  /// Task, model configuration and training configuration, checked against each other before anything is trained.
  /// - Throws: `ConfigurationError`, `TextError`.
  func resolved(
    catalog: Catalog
  ) throws -> (task: any SequenceTask, model: ModelConfiguration, training: TrainingConfiguration) {
    let task = try TaskCatalog.standard.make(
      task, settings: taskSettings, key: TrainingJob.taskKey)
    var settings = modelSettings
    if settings["kind"] == nil {
      switch task.kind {
      case .languageModel: settings["kind"] = .string("decoder")
      case .classification: settings["kind"] = .string("encoder")
      case .sequenceToSequence: settings["kind"] = .string("encoder-decoder")
      }
    }
    if settings["seed"] == nil { settings["seed"] = .int(seed) }
    let model = Trainer.fit(try ModelConfiguration(settings: settings), to: task)
    try model.validate(in: catalog)
    var training = trainingSettings
    if training["seed"] == nil { training["seed"] = .int(seed) }
    return (task, model, try TrainingConfiguration(settings: training))
  }
}

/// An evaluation of a trained model under changed conditions.
public struct TrainingEvaluation: Hashable, Sendable {
  /// The attention of the layers; `nil`: the trained one.
  public var attention: String?
  /// Task settings that differ from the training's.
  public var taskSettings: [String: ParameterValue] = [:]
  /// Test batches.
  public var batches = 8

  var id: String {
    ([attention ?? ""] + taskSettings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + [
      "\(batches)"
    ])
    .joined(separator: ",")
  }
}

/// Trainings of a preset: `experiment: training`.
///
/// `task`, `model` and `training` are mappings of settings; a list where a value could stand is a sweep, and
/// `points` is a list of mappings with dotted paths (`model.width: 64`) that vary together. `seed` may be a list.
public struct TrainingPlan: Sendable {
  /// All trainings, in order.
  public let jobs: [TrainingJob]

  init(_ reader: inout FieldReader, catalog: Catalog, name: String) throws(UsageError) {
    let place = reader.place
    var bases: [[String: ParameterValue]] = [[:]]
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
        let values = try TrainingPlan.values(entry.value, path)
        bases = bases.flatMap { base in values.map { base.merging([path: $0]) { $1 } } }
      }
    }
    if let node = reader.node("points") {
      guard let list = node.elements, !list.isEmpty else {
        throw node.error("points: it takes a list of mappings such as {model.width: 64, training.steps: 400}")
      }
      var points: [[String: ParameterValue]] = []
      for element in list {
        guard let entries = element.entries else { throw element.error("points: a mapping is expected") }
        var variants: [[String: ParameterValue]] = [[:]]
        for entry in entries {
          let values = try TrainingPlan.values(entry.value, entry.key)
          variants = variants.flatMap { base in values.map { base.merging([entry.key: $0]) { $1 } } }
        }
        points += variants
      }
      bases = points.flatMap { point in bases.map { $0.merging(point) { $1 } } }
    }
    let seeds = try reader.sweep("seed", .integer(0...Int.max), default: [1])
    let budgets = try reader.node("compute").map { node throws(UsageError) in try TrainingPlan.budgets(node) }
    let evaluations = try TrainingPlan.evaluations(reader.node("evaluate"))
    // The number of threads changes no result; `attnlab run --threads` sets it.
    _ = reader.node("threads")
    try reader.finish()
    var jobs: [TrainingJob] = []
    for base in bases {
      for budget in budgets ?? [nil] {
        for seed in seeds {
          var job = try TrainingPlan.job(base, place: place)
          (job.experiment, job.seed, job.compute, job.evaluations) = (name, seed, budget, evaluations)
          jobs.append(job)
        }
      }
    }
    for job in jobs {
      do { _ = try job.resolved(catalog: catalog) } catch { throw UsageError("\(place): \(error)") }
      for evaluation in job.evaluations {
        var changed = job
        changed.taskSettings.merge(evaluation.taskSettings) { $1 }
        if let attention = evaluation.attention { changed.modelSettings["attention"] = .string(attention) }
        do { _ = try changed.resolved(catalog: catalog) } catch {
          throw UsageError("\(place): evaluate: \(error)")
        }
      }
    }
    self.jobs = jobs
  }

  /// The training that dotted paths describe.
  /// - Throws: `UsageError`.
  public static func job(_ settings: [String: ParameterValue], place: String) throws(UsageError)
    -> TrainingJob
  {
    guard case .string(let id)? = settings["task.id"] else {
      throw UsageError(
        "\(place): task: an id is missing; it takes one of \(TaskCatalog.standard.ids.joined(separator: ", "))"
      )
    }
    var job = TrainingJob(task: id)
    for (path, value) in settings where path != "task.id" {
      let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw UsageError("\(place): points: \(path) is no path; write task.…, model.… or training.…")
      }
      switch parts[0] {
      case "task": job.taskSettings[parts[1]] = value
      case "model": job.modelSettings[parts[1]] = value
      case "training": job.trainingSettings[parts[1]] = value
      default: throw UsageError("\(place): points: \(path) is no path; write task.…, model.… or training.…")
      }
    }
    return job
  }

  private static func values(_ node: PresetNode, _ path: String) throws(UsageError) -> [ParameterValue] {
    guard !node.alternatives.isEmpty else { throw node.error("\(path): an empty list; it takes values") }
    var values: [ParameterValue] = []
    for element in node.alternatives {
      guard case .scalar(let text, let isQuoted) = element.content else {
        throw element.error(
          "\(path): \(element.summary) is not allowed; it takes a value or a list of values")
      }
      // The grammar of attention lines has commas of its own.
      let isText = isQuoted || path.hasSuffix("attention") || path.hasSuffix("path") || path == "task.id"
      values.append(isText ? .string(text) : ParameterValue(parsing: text))
    }
    return values
  }

  private static func budgets(_ node: PresetNode) throws(UsageError) -> [Double?] {
    var budgets: [Double?] = []
    for element in node.alternatives {
      guard let text = element.text, let value = Double(text), value > 0, value.isFinite else {
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
        found += settings.map { TrainingEvaluation(attention: attention, taskSettings: $0, batches: batches) }
      }
    }
    return found
  }
}

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
        let values = try values(entry.value, path)
        guard values.count == 1 else { throw entry.value.error("\(path): one value is expected, not a list") }
        settings[path] = values[0]
      }
    }
    return settings
  }
}
