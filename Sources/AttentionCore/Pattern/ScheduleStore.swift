import Synchronization
import Tensors

/// What an engine does with a pattern in which order, worked out from pattern and sizes alone.
public protocol Schedule: Sendable {
  /// Bytes that it holds.
  var byteCount: Int { get }
}

/// The schedules of a pattern, each made once and kept beside it: passes find them and plan nothing.
///
/// Key padding and the scale change no schedule, so that the padded batches of a training share them. What is kept is counted
/// in the ledger of whoever owns the pattern; what that ledger refuses is made anew each time. Safe from any thread; a
/// schedule that two threads ask for at once may be made twice, and is the same.
public final class ScheduleStore: Sendable {
  private struct Key: Hashable {
    let kind: ObjectIdentifier
    let shape: AttentionShape
  }
  private struct Entry {
    let schedule: any Schedule
    let bytes: CountedBytes?
  }
  private struct State {
    var entries: [Key: Entry] = [:]
    var ledger: MemoryLedger?
  }
  private let state = Mutex(State())

  /// The most schedules that are kept: those of a training's layers and passes.
  private static let limit = 32

  init() {}

  /// Counts what is kept from now on in a ledger.
  func count(in ledger: MemoryLedger?) { state.withLock { $0.ledger = ledger } }

  /// Bytes of all that are kept.
  public var byteCount: Int {
    state.withLock { $0.entries.values.reduce(0) { $0 + $1.schedule.byteCount } }
  }

  /// The schedule of a kind for a shape: the one that is kept, or else `make`, which is kept.
  /// - Complexity: O(1) when found, else that of `make`.
  public func schedule<S: Schedule>(for shape: AttentionShape, _ make: (AttentionShape) -> S) -> S {
    var plain = shape
    (plain.keyLengths, plain.scale) = (nil, nil)
    let key = Key(kind: ObjectIdentifier(S.self), shape: plain)
    if let found = state.withLock({ $0.entries[key]?.schedule as? S }) { return found }
    let made = make(plain)
    let size = made.byteCount
    state.withLock { state in
      guard state.entries[key] == nil else { return }
      if state.entries.count >= ScheduleStore.limit { state.entries.removeAll() }
      if let ledger = state.ledger {
        guard let bytes = try? CountedBytes(size, in: ledger) else { return }
        state.entries[key] = Entry(schedule: made, bytes: bytes)
      } else {
        state.entries[key] = Entry(schedule: made, bytes: nil)
      }
    }
    return made
  }
}
