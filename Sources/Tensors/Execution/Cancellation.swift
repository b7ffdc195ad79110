import Synchronization

/// A flag that stops running passes at the next tile.
public final class Cancellation: Sendable {
  private let flag = Atomic<Bool>(false)
  /// Creates a flag that is not set.
  public init() {}
  /// Sets the flag.
  public func cancel() { flag.store(true, ordering: .relaxed) }
  /// Whether the flag is set.
  public var isRequested: Bool { flag.load(ordering: .relaxed) }
}

/// A pass that was stopped by its `Cancellation`.
public struct CancellationRequested: Error, Sendable, CustomStringConvertible {
  /// Creates the error.
  public init() {}
  /// One line.
  public var description: String { "cancelled" }
}
