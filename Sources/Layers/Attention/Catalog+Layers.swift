import AttentionCore
import Settings

extension Catalog {
  /// The empty state of a layer's attention; `nil` when nothing that it computed for a row can be kept.
  /// - Throws: `ConfigurationError`.
  package func state(of layer: LayerAttention) throws(ConfigurationError) -> KeyValueState? {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> KeyValueState? {
      let configuration = try V.Configuration(settings: layer.settings)
      return configuration.evictableKeys(of: 0) == nil ? nil : KeyValueState(configuration)
    }
    let type = try self.type(of: layer.id)
    return try open(type)
  }

  /// Settings for a shape that may be shorter than the one that they were made for.
  /// - Throws: `ConfigurationError`.
  func fitted(
    _ id: String, settings: [String: ParameterValue], to shape: AttentionShape
  ) throws(ConfigurationError) -> [String: ParameterValue] {
    try type(of: id).fitted(settings, to: shape)
  }
}
