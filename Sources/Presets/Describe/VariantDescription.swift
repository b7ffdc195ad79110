import AttentionCore
import Basics
import Settings

/// What a variant type is and takes, without its generic types: for lists, JSON and error messages.
public struct VariantDescription: Sendable {
  /// The variant in words.
  public let card: VariantCard
  /// Its parameters in order.
  public let parameters: [ParameterDescription]
  /// What it reads besides q, k and v, under its defaults or one of its sample configurations.
  public let operands: [Operand]
  /// What it can show besides its results.
  public let exports: [Export]
  private let variantType: any AttentionVariant.Type

  /// A parameter without its generic type.
  public struct ParameterDescription: Sendable {
    /// The name that users type.
    public let name: String
    /// What is allowed, in words.
    public let allowed: String
    /// The unit, or empty.
    public let unit: String
    /// The default.
    public let defaultValue: ParameterValue
    /// One line of meaning.
    public let help: String

    /// Describes the parameters of a set.
    public static func all<Set: ParameterSet>(of type: Set.Type) -> [ParameterDescription] {
      Set.parameters.map {
        ParameterDescription(
          name: $0.name, allowed: $0.allowed, unit: $0.unit, defaultValue: $0.defaultValue, help: $0.help)
      }
    }

    /// The description as JSON.
    public var json: JSONValue {
      .object([
        "name": .string(name), "allowed": .string(allowed), "unit": .string(unit),
        "default": JSONValue(defaultValue), "help": .string(help),
      ])
    }
  }

  /// Describes a variant type.
  public init(_ type: any AttentionVariant.Type) {
    func open<V: AttentionVariant>(_ type: V.Type) -> [ParameterDescription] {
      ParameterDescription.all(of: V.Configuration.self)
    }
    variantType = type
    card = type.card
    parameters = open(type)
    exports = type.exports
    var operands: [Operand] = []
    for settings in Conformance.samples(of: type) {
      let declared = (try? type.operands(settings: settings)) ?? []
      for operand in declared
      where !operand.isStandard && !operands.contains(where: { $0.name == operand.name }) {
        operands.append(operand)
      }
    }
    self.operands = operands
  }

  /// Checks settings by name, type and range.
  /// - Throws: `ConfigurationError`.
  public func check(_ settings: [String: ParameterValue]) throws(ConfigurationError) {
    _ = try summary(of: settings)
  }

  /// `name=value` of all parameters, defaults included: the CSV's `configuration`.
  /// - Throws: `ConfigurationError`.
  public func summary(of settings: [String: ParameterValue]) throws(ConfigurationError) -> String {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> String {
      try V.Configuration(settings: settings).summary
    }
    return try open(variantType)
  }

  /// The description as JSON.
  public var json: JSONValue {
    .object([
      "id": .string(card.id), "title": .string(card.title), "idea": .string(card.idea),
      "equation": .string(card.equation), "paper": .string(card.paper),
      "depends_on_data": .bool(card.dependsOnData),
      "parameters": .array(parameters.map(\.json)),
      "operands": .array(
        operands.map {
          .object([
            "name": .string($0.name.description), "axes": .array($0.axes.map { .string($0.description) }),
            "source": .string($0.source.description), "optional": .bool($0.isOptional),
            "help": .string($0.help),
          ])
        }),
      "exports": .array(
        exports.map { .object(["name": .string($0.name.description), "help": .string($0.help)]) }),
    ])
  }
}

extension JSONValue {
  /// A parameter's value in JSON.
  public init(_ value: ParameterValue) {
    switch value {
    case .int(let number): self = .int(number)
    case .double(let number): self = .double(number)
    case .bool(let flag): self = .bool(flag)
    case .string(let text): self = .string(text)
    case .list(let numbers): self = .array(numbers.map { .int($0) })
    }
  }
}
