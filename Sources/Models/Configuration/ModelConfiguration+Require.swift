import Settings

extension ModelConfiguration {
  /// Refuses a value that does not go with the others.
  /// - Parameters:
  ///   - holds: whether it does.
  ///   - field: the setting.
  ///   - value: what it is.
  ///   - allowed: what it may be.
  /// - Throws: `ConfigurationError`.
  func require(
    _ holds: Bool, _ field: String, _ value: some Sendable, _ allowed: String
  ) throws(ConfigurationError) {
    if !holds { throw ConfigurationError(field: field, value: "\(value)", allowed: allowed) }
  }
}
