import AttentionCore
import Basics
import Laboratory
import Settings
import Tensors

/// `--set` of one variant, checked before anything is read or computed.
enum VariantSettings {
  /// The settings that `name=value` pairs stand for.
  /// - Throws: `UsageError` for text without `=`, `ConfigurationError` for an unknown name or a value out of range.
  static func parse(
    _ pairs: [String], for type: any AttentionVariant.Type
  ) throws -> [String: ParameterValue] {
    let settings = try ParameterValue.settings(parsing: pairs)
    func open<V: AttentionVariant>(_ type: V.Type) throws { _ = try V.Configuration(settings: settings) }
    try open(type)
    return settings
  }

  /// The key of a variant's own draws: `apply` and `mask` name the same pattern by the same seed.
  static func key(seed: UInt64) -> RandomKey { RandomKey(seed: seed)("variant") }
}

extension Precision {
  /// The precision of a name that a user typed.
  /// - Throws: `UsageError` with what is allowed.
  static func named(_ name: String) throws -> Precision {
    if let precision = Precision(rawValue: name) { return precision }
    throw UsageError(
      "--precision \(name): it takes one of \(allCases.map(\.rawValue).joined(separator: ", "))")
  }
}

extension InstructionSet {
  /// The set of a name that a user typed; `nil` of `nil`.
  /// - Throws: `UsageError` when this processor does not have it.
  static func named(_ name: String?) throws -> InstructionSet? {
    guard let name else { return nil }
    if let set = InstructionSet(rawValue: name), available.contains(set) { return set }
    throw UsageError(
      "--isa \(name): it takes one of \(available.map(\.rawValue).joined(separator: ", ")) here")
  }
}
