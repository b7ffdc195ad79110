import Basics
import Models
import Presets
import Records
import Settings
import Tasks
import Training

/// `config.json` beside `model.safetensors`: all settings of model, training and task, and what the tokens are. The model
/// can be loaded with it even when another program has rewritten the weights without their metadata.
public struct TrainingDescription {
  /// The file's name.
  public static let file = "config.json"
  private let run: TrainingRun

  /// Describes a training.
  /// - Parameter run: the training.
  public init(_ run: TrainingRun) { self.run = run }

  /// The description.
  public var json: JSONValue {
    let model = run.trainer.model.configuration, task = run.trainer.task
    return .object([
      "model_type": .string(ModelConfiguration.modelType), "attnlab_version": .string(LabVersion.current),
      "model": Self.settings(model), "training": Self.settings(run.trainer.configuration),
      "extended_from": .array(run.trainer.extensions.map { .int($0) }),
      "task": .object([
        "id": .string(task.card.id), "kind": .string(task.kind.rawValue), "settings": Self.settings(of: task),
      ]),
      "tokenizer": tokenizer,
      "auxiliary": .array(run.trainer.auxiliary.map(Self.auxiliary)),
      "text": task.text.map {
        .object([
          "origin": .string($0.name), "bytes": .int($0.bytes.count), "hash": .string($0.fingerprint),
        ])
      } ?? .null,
    ])
  }

  private static func auxiliary(_ other: AuxiliaryTask) -> JSONValue {
    .object([
      "name": .string(other.name), "id": .string(other.task.card.id),
      "kind": .string(other.task.kind.rawValue),
      "settings": settings(of: other.task), "weight": .number(other.part.weight),
      "share": .number(other.part.share),
    ])
  }

  private static func settings<Set: ParameterSet>(_ set: Set) -> JSONValue {
    .object(Set.parameters.map { .init(key: $0.name, value: JSONValue($0.get(set))) })
  }

  private static func settings(of task: some SequenceTask) -> JSONValue { settings(task.configuration) }

  /// What token ids stand for.
  private var tokenizer: JSONValue {
    let task = run.trainer.task, model = run.trainer.model.configuration
    let (type, meaning) =
      switch (task.featureWidth, task.text) {
      case (1..., _): ("none", "rows are described by numbers; there are no tokens")
      case (_, .some): ("bytes", "token i is the byte i")
      default: ("task", "tokens are those of the task: \(task.card.idea)")
      }
    let isMasked = model.kind == .encoder && task.kind == .languageModel
    return .object([
      "type": .string(type), "tokens": .int(task.vocabularySize), "meaning": .string(meaning),
      "mask_token": isMasked ? .int(model.vocabulary - 1) : .null,
    ])
  }

  /// Writes it into the folder of a training.
  /// - Parameter folder: the folder.
  /// - Throws: `UsageError` when it cannot be written.
  public func write(to folder: RunFolder) throws(UsageError) {
    try RunFolder.replace("\(folder.path)/\(Self.file)", with: json.pretty + "\n")
  }
}
