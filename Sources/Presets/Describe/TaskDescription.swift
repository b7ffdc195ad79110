import Basics
import Settings
import Tasks

/// What a task type is and takes, without its generic types: for lists and JSON.
public struct TaskDescription: Sendable {
  /// The task in words.
  public let card: TaskCard
  /// Its parameters in order.
  public let parameters: [VariantDescription.ParameterDescription]
  /// What `attnlab train` does where nothing is said; `nil`: there is none.
  public let recipe: TaskRecipe?

  /// Describes a task type.
  public init(_ type: any SequenceTask.Type) {
    func open<T: SequenceTask>(_ type: T.Type) -> [VariantDescription.ParameterDescription] {
      VariantDescription.ParameterDescription.all(of: T.Configuration.self)
    }
    card = type.card
    parameters = open(type)
    recipe = try? TaskRecipe.of(type.card.id)
  }

  /// The description as JSON.
  public var json: JSONValue {
    .object([
      "id": .string(card.id), "title": .string(card.title), "idea": .string(card.idea),
      "paper": .string(card.paper),
      "parameters": .array(parameters.map(\.json)), "recipe": recipe?.json ?? .null,
    ])
  }
}
