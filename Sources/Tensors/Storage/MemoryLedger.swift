import Synchronization

/// Counts the bytes of every buffer that is drawn from it: now, and at the peak.
///
/// A ledger is how the lab *measures* workspace instead of guessing it. Every `Tensor` and `Scratch` that is
/// created with a ledger adds its bytes on allocation and takes them off when its storage is released.
/// An optional limit turns an allocation that would pass it into a thrown `MemoryLimitExceeded`.
///
/// All operations are O(1) and safe from any thread.
public final class MemoryLedger: Sendable {
  private struct Counts { var current = 0; var peak = 0 }
  private let counts = Mutex(Counts())

  /// The most bytes that may be live at once; `nil` for no limit.
  public let limitBytes: Int?

  /// Creates an empty ledger.
  /// - Parameters:
  ///   - limitBytes: the most bytes that may be live at once, or `nil`.
  ///   - recycles: whether released blocks are kept for the next tensor of their size, as a training step wants.
  public init(limitBytes: Int? = nil, recycles: Bool = false) {
    self.limitBytes = limitBytes
    recycler = recycles ? BlockRecycler() : nil
  }

  /// Where released blocks wait; `nil` when they go back to the system.
  let recycler: BlockRecycler?

  /// How often a recycling ledger had to ask the system for a block, and how often a write had to copy one that somebody else held;
  /// constant once a loop is in its steady state.
  public var systemAllocations: Int { (recycler?.systemAllocations ?? 0) + copiesBehindWrites }

  /// How often a write found a block of this ledger held by another value, and copied it: each copy asks the system for memory that no
  /// ledger counts.
  public var copiesBehindWrites: Int { copies.load(ordering: .relaxed) }
  private let copies = Atomic<Int>(0)

  /// Records such a copy.
  func noteCopyBehindWrite() { copies.add(1, ordering: .relaxed) }

  /// Bytes live now.
  public var currentBytes: Int { counts.withLock { $0.current } }

  /// The most bytes that were live at one moment since creation or the last `resetPeak()`.
  public var peakBytes: Int { counts.withLock { $0.peak } }

  /// Makes the bytes live now the new peak.
  public func resetPeak() { counts.withLock { $0.peak = $0.current } }

  /// Records an allocation.
  /// - Throws: `MemoryLimitExceeded` when the limit would be passed; nothing is recorded then.
  func add(bytes: Int) throws(MemoryLimitExceeded) {
    let refused: MemoryLimitExceeded? = counts.withLock { counts in
      if let limit = limitBytes, counts.current + bytes > limit {
        return MemoryLimitExceeded(requestedBytes: bytes, currentBytes: counts.current, limitBytes: limit)
      }
      counts.current += bytes
      counts.peak = max(counts.peak, counts.current)
      return nil
    }
    if let refused { throw refused }
  }

  /// Records a release.
  func remove(bytes: Int) { counts.withLock { $0.current -= bytes } }
}

/// An allocation that would have passed a ledger's limit, or that the system refused.
public struct MemoryLimitExceeded: Error, Sendable, Equatable, CustomStringConvertible {
  /// The size of the refused allocation.
  public let requestedBytes: Int
  /// The bytes that were live when it was refused.
  public let currentBytes: Int
  /// The limit; `nil` when it was the system that refused.
  public let limitBytes: Int?

  /// One line: what was asked for, what is in use, what is allowed.
  public var description: String {
    guard let limitBytes else { return "memory: the system refused \(requestedBytes) bytes" }
    return
      "memory limit: \(requestedBytes) bytes asked for with \(currentBytes) in use; \(limitBytes) allowed"
  }
}
