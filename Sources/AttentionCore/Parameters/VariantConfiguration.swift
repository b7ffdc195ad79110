@_exported import Parameters

/// The parameters of a variant.
///
/// A configuration is a plain struct of values with defaults; `parameters` declares each once.
public protocol VariantConfiguration: ParameterSet {
  /// Settings that the conformance check tries besides the defaults: small enough to matter at a few hundred tokens.
  static var samples: [Self] { get }
  /// Checks what depends on several parameters or on the shape.
  /// - Throws: `ConfigurationError`.
  func validate(for shape: AttentionShape) throws(ConfigurationError)
}

extension VariantConfiguration {
  /// The defaults alone.
  public static var samples: [Self] { [Self()] }

  /// Nothing to check.
  public func validate(for shape: AttentionShape) throws(ConfigurationError) {}
}
