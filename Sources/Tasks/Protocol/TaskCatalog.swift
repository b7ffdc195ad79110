import Parameters
import Tensors

/// The tasks that a program knows, ours and a user's: `.standard + [MyTask.self]`.
public struct TaskCatalog: Sendable {
  /// The tasks in the order in which they are shown.
  public let types: [any SequenceTask.Type]

  /// Creates a catalogue.
  /// - Precondition: no two tasks share an id.
  public init(_ types: [any SequenceTask.Type]) {
    let ids = types.map { $0.card.id }
    precondition(Set(ids).count == ids.count, "two tasks share an id: \(ids)")
    self.types = types
  }

  /// A catalogue with more tasks at the end.
  public static func + (catalog: TaskCatalog, more: [any SequenceTask.Type]) -> TaskCatalog {
    TaskCatalog(catalog.types + more)
  }

  /// The ids in order.
  public var ids: [String] { types.map { $0.card.id } }

  /// The task of an id.
  /// - Throws: `ConfigurationError` with the nearest valid id.
  public func type(of id: String) throws(ConfigurationError) -> any SequenceTask.Type {
    if let type = types.first(where: { $0.card.id == id }) { return type }
    let nearest = nearestName(to: id, among: ids).map { " (did you mean \($0)?)" } ?? ""
    throw ConfigurationError(
      field: "task", value: id, allowed: "one of " + ids.joined(separator: ", ") + nearest)
  }

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
  /// The tasks of the lab.
  public static let standard = TaskCatalog([
    ByteText.self,
    KnownEntropySource.self,
    MultiQueryRecall.self,
    Passkey.self,
    ListOps.self,
    Copying.self,
    SelectiveCopying.self,
    InductionHeads.self,
    Duplication.self,
    Reversal.self,
  ])
}
