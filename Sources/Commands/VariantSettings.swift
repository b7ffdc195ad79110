import AttentionCore
import Basics
import Settings
import Tensors

/// `--set` of one variant, checked before anything is read or computed.
package enum VariantSettings {
  /// The settings that `name=value` pairs stand for.
  /// - Throws: `UsageError` for text without `=`, `ConfigurationError` for an unknown name or a value out of range.
  package static func parse(
    _ pairs: [String], for type: any AttentionVariant.Type
  ) throws -> [String: ParameterValue] {
    let settings = try ParameterValue.settings(parsing: pairs)
    func open<V: AttentionVariant>(_ type: V.Type) throws { _ = try V.Configuration(settings: settings) }
    try open(type)
    return settings
  }

  /// The key of a variant's own draws: `apply` and `mask` name the same pattern by the same seed.
  package static func key(seed: UInt64) -> RandomKey { RandomKey(seed: seed)("variant") }
}
