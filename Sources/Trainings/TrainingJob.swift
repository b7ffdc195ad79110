import AttentionCore
import Basics
import Foundation
import ImageTasks
import LongText
import Models
import Training
import Presets
import Settings
import Tasks
import Tensors

/// One training as a preset asks for it.
public struct TrainingJob: ExperimentCell {
  /// The name of the experiment.
  public var experiment = ""
  /// The task's id.
  public var task: String
  /// The task's settings.
  public var taskSettings: [String: ParameterValue] = [:]
  /// The model's settings; what the task decides (vocabulary, classes, length) is filled in where it is not given.
  public var modelSettings: [String: ParameterValue] = [:]
  /// Tasks that the model learns beside it.
  public var auxiliary: [AuxiliaryEntry] = []
  /// The training's settings.
  public var trainingSettings: [String: ParameterValue] = [:]
  /// What the trained model is evaluated on besides its own test split.
  public var evaluations: [TrainingEvaluation] = []
  /// The seed of weights, training batches and dropout.
  public var seed = 1
  /// Training operations that the run may spend; its steps follow from it. `nil`: `training.steps` counts.
  public var compute: Double?
  /// Whether it is kept out of fits: its loss is predicted from the others before it is trained.
  public var isHeldOut = false
  /// Threads, which change no result; `nil`: all processors.
  public var threads: Int?

  /// Threads of the training.
  var threadCount: Int { threads ?? Parallel.processorCount }

  /// The key of every task: a seed changes weights and training examples, never the task itself (a Markov source of
  /// known entropy stays the same source) nor its validation and test examples.
  package static let taskKey = RandomKey(seed: 1)("task")

  /// Creates a job.
  public init(task: String) { self.task = task }

  /// A name that says everything that decides the result: rows of a run are found by it.
  public var id: String { id(by: .today) }

  /// The id that it had while settings were spelt in camelCase.
  public var formerIDs: [String] { [id(by: .former)].filter { $0 != id } }

  private func id(by spelling: SettingsText) -> String {
    let parts = [
      experiment, task, spelling.text(taskSettings), spelling.text(modelSettings),
      spelling.text(trainingSettings), "\(seed)", compute.map { "\($0)" } ?? "",
      evaluations.map { $0.id(by: spelling) }.joined(separator: "|"),
    ]
    let others = auxiliary.isEmpty ? [] : ["auxiliary " + AuxiliaryEntry.line(auxiliary)]
    return Fingerprint.of((parts + others + (isHeldOut ? ["held out"] : [])).joined(separator: "\u{1F}"))
  }

  /// Its operations, where they are said, else its steps.
  public var effort: Double { compute ?? trainingSettings["steps"].flatMap { Double("\($0)") } ?? 1 }

  /// Trainings of one budget take about as long; else a step of one attention takes as long as another of it.
  public var pace: String { compute == nil ? modelSettings["attention"].map { "\($0)" } ?? "" : "" }

  /// The same without the stages before its last steps.
  var withoutCurriculum: TrainingJob {
    var job = self
    job.trainingSettings = TrainingConfiguration.renamed(trainingSettings)
    job.trainingSettings["curriculum"] = nil
    return job
  }

  /// All settings by dotted path, as a preset writes them.
  package var settings: [String: String] {
    var all: [String: String] = ["seed": "\(seed)"]
    for (section, settings) in [
      ("task", taskSettings), ("model", modelSettings), ("training", trainingSettings),
    ] {
      for (name, value) in settings { all["\(section).\(name)"] = "\(value)" }
    }
    if !auxiliary.isEmpty { all["auxiliary"] = AuxiliaryEntry.line(auxiliary) }
    if let compute { all["compute"] = Quantity.significant(compute, 3) }
    return all
  }

  /// The variants of all layers.
  /// - Throws: `ConfigurationError`.
  public func variants(catalog: Catalog) throws -> Set<String> {
    Set(try resolved(catalog: catalog).model.layerAttention().map(\.id))
  }

  /// Task, model configuration and training configuration, checked against each other before anything is trained.
  /// - Throws: `ConfigurationError`, `TextError`.
  func resolved(
    catalog: Catalog
  ) throws -> (
    task: any SequenceTask, auxiliary: [AuxiliaryTask], model: ModelConfiguration,
    training: TrainingConfiguration, stages: [(stage: Curriculum.Stage, task: any SequenceTask)]
  ) {
    let task = try TaskCatalog.standard.prepared(
      task, settings: taskSettings, key: TrainingJob.taskKey)
    // However they were spelt: what the task decides is filled in where it is not given.
    var settings = ModelConfiguration.renamed(modelSettings)
    if settings["kind"] == nil {
      switch task.kind {
      case .languageModel: settings["kind"] = .string("decoder")
      case .classification, .nodeClassification: settings["kind"] = .string("encoder")
      case .sequenceToSequence: settings["kind"] = .string("encoder-decoder")
      case .pairClassification: settings["kind"] = .string("pair")
      }
    }
    // Rows of numbers have no table that an output could share.
    if task.featureWidth > 0, settings["tied"] == nil { settings["tied"] = .bool(false) }
    if settings["kind"] == .string("vit"), settings["position"] == nil {
      settings["position"] = .string("learned")
    }
    if task.kind == .nodeClassification {
      // Nodes have no order, and their classes are no tokens.
      let own: [(String, ParameterValue)] = [
        ("position", .string("none")),
        ("attention", .string(try catalog.firstReadingEdges ?? ModelConfiguration().attention)),
      ]
      for (name, value) in own where settings[name] == nil { settings[name] = value }
    }
    if settings["seed"] == nil { settings["seed"] = .int(seed) }
    let others = try auxiliary.prepared()
    let model = try TrainingJob.fit(settings, to: task, beside: others, catalog)
    try model.validate(in: catalog)
    var training = TrainingConfiguration.renamed(trainingSettings)
    if training["seed"] == nil { training["seed"] = .int(seed) }
    if training["batch"] == nil, task.batchCount(of: .train) != nil { training["batch"] = .int(1) }
    let configuration = try TrainingConfiguration(settings: training)
    if configuration.consecutive || model.keepsSegments {
      try Trainer.check(memory: model.memory, of: model, for: task, in: catalog)
    }
    try Trainer.check(model, for: others, beside: task, configuration)
    let stages = try Curriculum(configuration.curriculum).stages.map { stage in
      if let attention = stage.attention {
        try model.replacingAttention(attention, in: catalog).validate(in: catalog)
      }
      return (
        stage,
        try TaskCatalog.standard.prepared(
          self.task, settings: taskSettings.merging(stage.task) { $1 }, key: TrainingJob.taskKey)
      )
    }
    return (task, others, model, configuration, stages)
  }
}

extension TrainingJob {
  /// The model that settings describe, with the sizes that the task decides where they are not given; a larger
  /// vocabulary or position table than the task needs may be given, a smaller one not.
  /// - Throws: `ConfigurationError`.
  private static func fit(
    _ settings: [String: ParameterValue], to task: any SequenceTask, beside others: [AuxiliaryTask],
    _ catalog: Catalog
  ) throws(ConfigurationError) -> ModelConfiguration {
    let given = try ModelConfiguration(settings: settings, in: catalog)
    let needed = Trainer.fit(Trainer.fit(given, to: task), to: others, beside: task)
    var model = needed
    if settings["vocabulary"] != nil {
      model.vocabulary = given.vocabulary
      model.outputVocabulary = given.outputVocabulary
    }
    if settings["output_vocabulary"] != nil { model.outputVocabulary = given.outputVocabulary }
    if settings["classes"] != nil { model.classes = given.classes }
    if settings["maximum_length"] != nil {
      model.maximumLength = given.maximumLength
      guard given.maximumLength >= needed.maximumLength else {
        throw ConfigurationError(
          field: "maximum_length", value: "\(given.maximumLength)",
          allowed: "at least \(needed.maximumLength) for the task \(task.card.id)")
      }
    }
    try Trainer.check(model, for: task)
    return model
  }
}

/// An evaluation of a trained model under changed conditions.
public struct TrainingEvaluation: Hashable, Sendable {
  /// The attention of the layers; `nil`: the trained one.
  public var attention: String?
  /// Task settings that differ from the training's.
  public var taskSettings: [String: ParameterValue] = [:]
  /// Positions of earlier segments that the layers keep; `nil`: as many as in training.
  public var memory: Int?
  /// How far rotary positions turn, as the setting `rotary` of a model says it; `nil`: as in training.
  public var rotary: String?
  /// Test batches.
  public var batches = 8

  func id(by spelling: SettingsText) -> String {
    let parts =
      [spelling.line(attention ?? "")] + spelling.pairs(taskSettings) + ["\(batches)"]
    let changed = [memory.map { "memory=\($0)" }, rotary.map { "rotary=\($0)" }].compactMap(\.self)
    return (parts + changed).joined(separator: ",")
  }
}
