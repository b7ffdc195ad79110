import Basics
import Settings
import Tensors

/// The variants that a program knows, ours and a user's: `.standard + [MyVariant.self]`.
public struct Catalog: NamedCatalog {
  /// The variants in the order in which they are shown.
  public let types: [any AttentionVariant.Type]

  /// Creates a catalogue of what stands for the variants (`AttentionVariant.listed`).
  /// - Precondition: no two variants share an id.
  public init(_ types: [any AttentionVariant.Type]) { self.types = Self.distinct(types.map { $0.listed }) }

  /// What a variant is called in messages.
  public static let field = "variant"
  /// The id on its card.
  public static func id(of member: any AttentionVariant.Type) -> String { member.card.id }

  /// Configures a variant by id and settings.
  /// - Parameters:
  ///   - id: the id of the variant.
  ///   - settings: those that differ from their defaults.
  ///   - shape: the sizes, causality and padding.
  ///   - key: names the random draws.
  ///   - patterns: those that variants of one owner share; `nil`: the variant keeps its own.
  /// - Throws: `ConfigurationError`.
  public func make(
    _ id: String, settings: [String: ParameterValue] = [:], shape: AttentionShape, key: RandomKey,
    sharing patterns: PatternCache? = nil
  ) throws(ConfigurationError) -> any AttentionVariant {
    try type(of: id).make(settings: settings, shape: shape, key: key, sharing: patterns)
  }

  /// The first variant that reads the edges of a graph; `nil`: none does.
  public var firstReadingEdges: String? {
    get throws {
      for type in types where try type.operands(settings: [:]).contains(where: { $0.source == .edges }) {
        return type.card.id
      }
      return nil
    }
  }
}
