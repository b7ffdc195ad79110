import Synchronization

/// A value that is made at its first use, once, and kept by its owner: what a plan needs only in some passes.
///
/// Safe from any thread; a second one waits until the first has made the value.
public final class Once<Value: Sendable>: Sendable {
  private let make: @Sendable () -> Value
  private let made = Mutex<Value?>(nil)

  /// Says how the value is made.
  public init(_ make: @escaping @Sendable () -> Value) { self.make = make }

  /// The value.
  /// - Complexity: that of `make` at the first use, then O(1).
  public var value: Value {
    made.withLock { made in
      if let made { return made }
      let value = make()
      made = value
      return value
    }
  }

  /// The value if somebody has used it.
  public var valueIfMade: Value? { made.withLock { $0 } }
}
