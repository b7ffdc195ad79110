import Synchronization
import Tensors

/// What an engine does with a pattern in which order, worked out from pattern, sizes and perhaps the number of threads.
public protocol Schedule: Sendable {
  /// Bytes that it holds.
  var byteCount: Int { get }
}

/// The schedules of a pattern, each made once and kept beside it: passes find them and plan nothing.
///
/// Key padding, the scale and a soft cap change no schedule, so that the padded batches of a training share them. Lists and schedules are
/// counted in the ledger of the first owner that says so (`TilePattern.count(in:)`): a variant that was prepared in a
/// context, or the cache of a model; a schedule that its ledger refuses is made anew each time. Safe from any thread; a
/// schedule that two threads want at once may be made twice, and is the same.
public final class ScheduleStore: Sendable {
  private struct Key: Hashable {
    let kind: ObjectIdentifier
    let shape: AttentionShape
    let threads: Int?
    let choices: ProcessorChoices?
  }
  private struct Entry {
    let schedule: any Schedule
    var bytes: CountedBytes?
  }
  private struct Owner {
    let ledger: MemoryLedger
    let lists: CountedBytes
  }
  private struct State {
    var entries: [Key: Entry] = [:]
    var owner: Owner?
    var made = 0
  }
  private let state = Mutex(State())

  /// The most schedules that are kept: those of a training's layers and passes.
  private static let limit = 64

  init() {}

  /// Counts lists of so many bytes and all schedules in a ledger as long as this lives; once somebody does, nobody else.
  func count(_ listBytes: Int, in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    guard let ledger else { return }
    try state.withLock { state throws(MemoryLimitExceeded) in
      guard state.owner == nil else { return }
      var entries = state.entries
      for (key, entry) in entries {
        let bytes = try CountedBytes(entry.schedule.byteCount, in: ledger)
        entries[key]?.bytes = bytes
      }
      state.owner = Owner(ledger: ledger, lists: try CountedBytes(listBytes, in: ledger))
      state.entries = entries
    }
  }

  /// Bytes of all that are kept.
  public var byteCount: Int {
    state.withLock { $0.entries.values.reduce(0) { $0 + $1.schedule.byteCount } }
  }

  /// How often a schedule was made: a pass that finds all that it needs adds nothing.
  public var madeCount: Int { state.withLock { $0.made } }

  /// The schedule of a kind for a shape: the one that is kept, or else `make`, which is kept.
  /// - Parameters:
  ///   - shape: the sizes.
  ///   - threads: for how many, where that matters.
  ///   - choices: what was chosen by the processor, where that matters.
  ///   - make: makes it, of the shape without what schedules do not depend on.
  /// - Complexity: O(1) when found, else that of `make`.
  public func schedule<S: Schedule>(
    for shape: AttentionShape, threads: Int? = nil, choices: ProcessorChoices? = nil,
    _ make: (AttentionShape) -> S
  ) -> S {
    var plain = shape
    (plain.keyLengths, plain.scale, plain.softcap) = (nil, nil, nil)
    let key = Key(kind: ObjectIdentifier(S.self), shape: plain, threads: threads, choices: choices)
    if let found = state.withLock({ $0.entries[key]?.schedule as? S }) { return found }
    let made = make(plain)
    let size = made.byteCount
    state.withLock { state in
      state.made += 1
      guard state.entries[key] == nil else { return }
      if state.entries.count >= ScheduleStore.limit { state.entries.removeAll() }
      var entry = Entry(schedule: made)
      if let owner = state.owner {
        guard let bytes = try? CountedBytes(size, in: owner.ledger) else { return }
        entry.bytes = bytes
      }
      state.entries[key] = entry
    }
    return made
  }
}
