import Basics
import Settings
import Tensors

/// The tasks that a program knows, ours and a user's.
public struct TaskCatalog: NamedCatalog {
  /// The tasks in the order in which they are shown.
  public let types: [any SequenceTask.Type]

  /// Creates a catalogue.
  /// - Precondition: no two tasks share an id.
  public init(_ types: [any SequenceTask.Type]) { self.types = Self.distinct(types) }

  /// What a task is called in messages.
  public static let field = "task"
  /// The id on its card.
  public static func id(of member: any SequenceTask.Type) -> String { member.card.id }

  /// Configures a task by id and settings.
  /// - Throws: `ConfigurationError`, `TextError`.
  public func make(
    _ id: String, settings: [String: ParameterValue] = [:], key: RandomKey
  ) throws -> any SequenceTask {
    func open<T: SequenceTask>(_ type: T.Type) throws -> any SequenceTask {
      try T(T.Configuration(settings: settings), key: key(T.card.id))
    }
    let type = try self.type(of: id)
    return try open(type)
  }
}

extension TaskCatalog {
  /// The tasks of sequences and graphs; `standard` has those of images beside them (module `ImageTasks`).
  public static let sequences = TaskCatalog([
    ByteText.self,
    LabelledText.self,
    DocumentPairs.self,
    KnownEntropySource.self,
    MultiQueryRecall.self,
    StreamRecall.self,
    Passkey.self,
    Needles.self,
    Reading.self,
    VariableTracking.self,
    CommonWords.self,
    ListOps.self,
    Evidence.self,
    Facts.self,
    Copying.self,
    SelectiveCopying.self,
    InductionHeads.self,
    Duplication.self,
    Echo.self,
    Glossary.self,
    Reversal.self,
    BlockGraph.self,
    GraphFiles.self,
  ])
}
