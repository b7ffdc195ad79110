import Basics

/// A setting that is out of range, unknown, or does not fit the shape.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The setting, by the name that a user types.
  public let field: String
  /// What was given.
  public let value: String
  /// What is allowed.
  public let allowed: String

  /// Creates the error.
  public init(field: String, value: String, allowed: String) {
    self.field = field
    self.value = value
    self.allowed = allowed
  }

  /// One line: what, the value, what is allowed. Field and value may be a user's text, of any length and content.
  public var description: String {
    "\(shown(field)): \(shown(value, limit: 160)) is not allowed; it takes \(visible(allowed))"
  }
}
