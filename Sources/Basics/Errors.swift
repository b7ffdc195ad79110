/// Bad input or wrong usage, in one line: what, where, what is allowed. The program exits with 2.
public struct UsageError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The line.
  public let description: String
  /// Creates the error.
  public init(_ description: String) { self.description = description }
}

/// Something that the program was asked to check failed. It exits with 1.
public struct CheckFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The line.
  public let description: String
  /// Creates the error.
  public init(_ description: String) { self.description = description }
}

/// The user stopped the program (Ctrl-C or a termination signal). It exits with 130.
public struct Interrupted: Error, Hashable, Sendable {
  /// Creates the error.
  public init() {}
}
