import Tensors

/// The variants that a program knows, ours and a user's: `.standard + [MyVariant.self]`.
public struct Catalog: Sendable {
  /// The variants in the order in which they are shown.
  public let types: [any AttentionVariant.Type]

  /// Creates a catalogue.
  /// - Precondition: no two variants share an id.
  public init(_ types: [any AttentionVariant.Type]) {
    let ids = types.map { $0.card.id }
    precondition(Set(ids).count == ids.count, "two variants share an id: \(ids)")
    self.types = types
  }

  /// A catalogue with more variants at the end.
  public static func + (catalog: Catalog, more: [any AttentionVariant.Type]) -> Catalog {
    Catalog(catalog.types + more)
  }

  /// The ids in order.
  public var ids: [String] { types.map { $0.card.id } }

  /// The variant of an id.
  /// - Throws: `ConfigurationError` with the nearest valid id.
  public func type(of id: String) throws(ConfigurationError) -> any AttentionVariant.Type {
    if let type = types.first(where: { $0.card.id == id }) { return type }
    let nearest = nearestName(to: id, among: ids).map { " (did you mean \($0)?)" } ?? ""
    throw ConfigurationError(
      field: "variant", value: id, allowed: "one of " + ids.joined(separator: ", ") + nearest)
  }

  /// Configures a variant by id and settings.
  /// - Throws: `ConfigurationError`.
  public func make(
    _ id: String, settings: [String: ParameterValue] = [:], shape: AttentionShape, key: RandomKey
  ) throws(ConfigurationError) -> AnyAttention {
    try AnyAttention.make(try type(of: id), settings: settings, shape: shape, key: key)
  }
}
