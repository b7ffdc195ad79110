import Basics
import Settings
import Tensors

/// Facts and a question: the class is what the source says of what the question names.
///
/// The source has `facts` tokens, each a pair of an entity e and an attribute a, no entity twice, attributes uniform. The question
/// has `length` tokens: `asked` entities of the source at random places, all else fillers. The class is the sum of the asked
/// entities' attributes modulo the number of attributes. Either sequence alone tells nothing of it: every class is as likely.
/// With more than one asked entity a weighted mean of rows has to hold them all.
/// Tokens: 0 padding, then fillers, then entities, then facts (entity by entity).
///
/// Source: made for this lab: the smallest task of two sequences that needs both, after the questions of Lu et al., 2016.
public struct Facts: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of the source.
    public var facts = 8
    /// Tokens of the question.
    public var length = 8
    /// Entities.
    public var entities = 16
    /// Attributes, and so classes.
    public var attributes = 4
    /// Entities that are asked for.
    public var asked = 1
    /// Filler tokens.
    public var fillers = 8

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "facts", \.facts, in: 1...(1 << 16), unit: "tokens",
        help: "facts of the source, each of another entity"),
      .integer("length", \.length, in: 1...(1 << 16), unit: "tokens", help: "tokens of the question"),
      .integer("entities", \.entities, in: 1...(1 << 16), help: "entities; at least as many as facts"),
      .integer("attributes", \.attributes, in: 2...1024, help: "attributes of an entity, and classes"),
      .integer("asked", \.asked, in: 1...64, help: "entities that the question names"),
      .integer("fillers", \.fillers, in: 1...(1 << 16), unit: "tokens", help: "tokens that say nothing"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "facts", title: "Facts and a question",
    paper: "after Lu et al. 2016, Hierarchical question-image co-attention",
    idea: "two sequences: the class is what the source says of the entity that the question names")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Throws: `ConfigurationError` when there are too few entities, facts or places.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration
    guard c.entities >= c.facts else {
      throw ConfigurationError(
        field: "entities", value: "\(c.entities)", allowed: "at least the \(c.facts) of the facts")
    }
    guard c.asked <= min(c.facts, c.length) else {
      throw ConfigurationError(
        field: "asked", value: "\(c.asked)",
        allowed: "at most \(min(c.facts, c.length)) of these facts and length")
    }
    self.configuration = configuration
    self.key = key
  }

  /// A class for two sequences.
  public var kind: TaskKind { .pairClassification }
  /// Padding, fillers, entities, facts.
  public var vocabularySize: Int {
    1 + configuration.fillers + configuration.entities * (1 + configuration.attributes)
  }
  /// Tokens of the question.
  public var length: Int { configuration.length }
  /// Tokens of the source.
  public var sourceLength: Int { configuration.facts }
  /// Attributes.
  public var classCount: Int { configuration.attributes }

  /// Draws one pair.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, firstEntity = 1 + c.fillers, firstFact = firstEntity + c.entities
    let entities = distinct(c.facts, in: 0..<c.entities, &generator)
    let attributes = entities.map { _ in generator.integer(below: c.attributes) }
    let source = zip(entities, attributes).map { Int32(firstFact + $0 * c.attributes + $1) }
    var question = (0..<c.length).map { _ in Int32(1 + generator.integer(below: c.fillers)) }
    let asked = distinct(c.asked, in: 0..<c.facts, &generator)
    for (place, fact) in zip(distinct(c.asked, in: 0..<c.length, &generator), asked) {
      question[place] = Int32(firstEntity + entities[fact])
    }
    let label = asked.reduce(0) { $0 + attributes[$1] } % c.attributes
    return Example(inputs: question, source: source, label: Int32(label))
  }
}
