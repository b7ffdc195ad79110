import AttentionCore
import Layers
import Models
import Settings
import Tasks
import Tensors

/// Texts read in order: the rows of a batch continue those of the batch before, and what the layers keep of them goes along.
extension Trainer {
  /// What the passes of a step continue; none where batches are apart from each other.
  /// - Throws: `ConfigurationError` when the task has no order, or the model no use for it.
  static func memories(
    of model: TransformerModel, _ task: any SequenceTask, _ configuration: TrainingConfiguration
  ) throws(ConfigurationError) -> [SegmentMemory] {
    guard configuration.consecutive || model.configuration.keepsSegments else { return [] }
    try check(model.configuration.memory, of: model.configuration, for: task)
    var memories: [SegmentMemory] = []
    for _ in 0..<configuration.accumulation {
      memories.append(try model.segmentMemory(streams: configuration.batch))
    }
    return memories
  }

  /// Makes sure that a model can be evaluated with a memory; `nil`: with that of its training.
  /// - Throws: `ConfigurationError`.
  public static func check(
    memory: Int?, of model: ModelConfiguration, for task: any SequenceTask, in catalog: Catalog
  ) throws(ConfigurationError) {
    guard let memory else { return }
    try check(memory, of: model, for: task)
    try model.checkMemory(of: memory, in: catalog)
  }

  /// Makes sure that texts can be read in order.
  /// - Throws: `ConfigurationError`.
  private static func check(
    _ memory: Int, of model: ModelConfiguration, for task: any SequenceTask
  ) throws(ConfigurationError) {
    let (field, value) =
      memory > 0
      ? ("memory", "\(memory)")
      : model.stored > 0 ? ("stored", "\(model.stored)") : ("consecutive", "true")
    let none = field == "consecutive" ? "false" : "0"
    let id = task.card.id
    guard task.texts != nil else {
      let ids = TaskCatalog.sequences.idsOfTexts
      let others = ids.dropLast().joined(separator: ", ") + " and " + (ids.last ?? "")
      throw ConfigurationError(
        field: field, value: value,
        allowed:
          "\(none) with the task \(id), whose examples do not continue each other; those of \(others) do")
    }
    guard model.kind == .decoder else {
      throw ConfigurationError(field: field, value: value, allowed: "\(none) unless kind is decoder")
    }
  }

  /// The task, where its texts are read in order.
  /// - Parameter memory: that of an evaluation; `nil`: as in training.
  func segmentedTask(for memory: Int?) throws(ConfigurationError) -> (any SegmentedTask)? {
    guard let memory else { return memories.isEmpty ? nil : task.texts }
    try Trainer.check(memory, of: model.configuration, for: task)
    return task.texts
  }

  /// The rows of a training pass, and what they continue.
  func rows(
    ofPass number: Int, _ reader: TaskReader
  ) throws -> (input: ModelInput, memory: SegmentMemory?) {
    guard !memories.isEmpty, let texts = task.texts else {
      return (try reader.input(.train, index: number), nil)
    }
    let (segment, pass) = number.quotientAndRemainder(dividingBy: memories.count)
    let first = pass * configuration.batch
    let rows = try texts.segments(
      of: .train, number: segment, streams: first..<first + configuration.batch,
      of: memories.count * configuration.batch, shift: configuration.seed)
    memories[pass].forget(where: rows.begins)
    return (ModelInput(rows.batch), memories[pass])
  }

  /// The loss of the first segments of as many streams as a batch has rows.
  func evaluate(
    _ split: Split, segments: Int, of texts: any SegmentedTask, memory: Int?
  ) throws -> CrossEntropy {
    let kept = try model.segmentMemory(streams: configuration.batch, positions: memory)
    var total = CrossEntropy()
    for number in 0..<segments {
      let rows = try texts.segments(
        of: split, number: number, streams: 0..<configuration.batch, of: configuration.batch, shift: 0)
      kept.forget(where: rows.begins)
      total = total + (try model.loss(ModelInput(rows.batch), after: kept))
    }
    return total
  }

  /// What a checkpoint holds of the memories, by name: `memory.{pass}.{stream}.{layer}`.
  var namedMemories: [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (pass, memory) in memories.enumerated() {
      for (name, rows) in memory.named { result["memory.\(pass).\(name)"] = rows }
    }
    return result
  }

  /// The memories that a checkpoint holds after some steps: every stream has something of every layer.
  /// - Returns: the name of a tensor that is missing or does not fit; `nil`: all are there.
  func memories(
    from tensors: [String: Tensor], after steps: Int
  ) throws -> (memories: [SegmentMemory], wrong: String?) {
    let restored = try Trainer.memories(of: model, task, configuration)
    guard steps > 0, model.configuration.keepsSegments else { return (restored, nil) }
    for (pass, memory) in restored.enumerated() {
      let prefix = "memory.\(pass)."
      var own: [String: Tensor] = [:]
      for stream in 0..<memory.streamCount {
        let names = memory.names(
          of: stream, layers: model.attentionLayers, storing: model.lookups.map(\.name))
        for name in names {
          guard let rows = tensors[prefix + name], fits(rows), rows.isFinite else {
            return (restored, prefix + name)
          }
          own[name] = rows
        }
      }
      if let wrong = try memory.restore(own) { return (restored, prefix + wrong) }
    }
    return (restored, nil)
  }

  /// Whether a tensor has the width of rows, or heads and width of stored pairs.
  private func fits(_ rows: Tensor) -> Bool {
    let model = model.configuration
    return rows.rank == 4
      ? rows.shape[1] == model.effectiveKeyHeads && rows.shape[3] == model.headDim
      : rows.rank == 2 && rows.shape[1] == model.width
  }
}
