import Basics
import Synchronization
import Tensors

/// Tile patterns by what determines them, so that the layers and padded batches of one model share one.
///
/// It belongs to whoever plans several variants, such as a model; a variant that is planned alone keeps its patterns itself.
///
/// A pattern is a value that depends on the variant, its configuration, the lengths, causality, and for drawn patterns on
/// the key and the number of heads, and where the end of a sequence matters on its valid keys; nothing else of a shape enters,
/// so that head sizes do not make a pattern anew, nor key padding that only hides keys. What is kept is bounded and counted in
/// `ledger`; what was not used for longest goes first, and lives on in the variants that have it.
/// Safe from any thread; a pattern that two threads want at once may be built twice, and is the same.
public final class PatternCache: Sendable {
  /// What determines a pattern.
  public struct Key: Hashable, Sendable {
    let variant: String
    let configuration: String
    /// Which of several patterns of the variant.
    let part: String
    let queryLength: Int, keyLength: Int
    /// Of patterns that depend on where a sequence ends.
    let validKeys: Int?
    let isCausal: Bool
    /// Of drawn patterns.
    let draw: Draw?

    struct Draw: Hashable, Sendable {
      let key: RandomKey
      let heads: Int
    }

    /// The key of a variant's pattern at a shape.
    /// - Parameters:
    ///   - variant: the variant.
    ///   - configuration: its settings.
    ///   - shape: the sizes.
    ///   - part: which of several patterns of the variant.
    ///   - validKeys: the keys of the sequence that are not padding, when the pattern depends on them.
    ///   - key: where its random draws come from; `nil` when there are none and all heads are alike.
    public init<V: AttentionVariant>(
      _ variant: V.Type, _ configuration: V.Configuration, shape: AttentionShape, part: String = "",
      validKeys: Int? = nil, drawnFrom key: RandomKey? = nil
    ) {
      self.variant = V.card.id
      self.configuration = configuration.summary
      self.part = part
      queryLength = shape.queryLength
      keyLength = shape.keyLength
      self.validKeys = validKeys
      isCausal = shape.isCausal
      draw = key.map { Draw(key: $0, heads: shape.queryHeads) }
    }
  }

  private struct Entry {
    let pattern: TilePattern
    let bytes: CountedBytes
    var lastUse: Int
  }
  private struct State {
    var entries: [Key: Entry] = [:]
    var uses = 0
    var hits = 0
  }
  private let state = Mutex(State())

  /// Where the patterns that are kept are counted.
  public let ledger: MemoryLedger

  /// Creates an empty cache.
  public init(limitBytes: Int = 64 << 20) { ledger = MemoryLedger(limitBytes: limitBytes) }

  /// How many patterns are kept.
  public var count: Int { state.withLock { $0.entries.count } }

  /// How often a pattern was found.
  public var hits: Int { state.withLock { $0.hits } }

  /// The pattern of a key: the one that is kept, or else `build()`, which is kept if it fits.
  /// - Throws: what `build` throws.
  /// - Complexity: O(1) when found; else that of `build` and O(patterns kept) when room must be made.
  public func pattern<Failure: Error>(
    _ key: Key, _ build: () throws(Failure) -> TilePattern
  ) throws(Failure) -> TilePattern {
    let found = state.withLock { state -> TilePattern? in
      state.uses += 1
      guard var entry = state.entries[key] else { return nil }
      entry.lastUse = state.uses
      state.entries[key] = entry
      state.hits += 1
      return entry.pattern
    }
    if let found { return found }
    let pattern = try build()
    guard let limit = ledger.limitBytes, pattern.byteCount <= limit else { return pattern }
    state.withLock { state in
      if state.entries[key] != nil { return }
      while ledger.currentBytes + pattern.byteCount > limit,
        let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
      {
        state.entries[oldest.key] = nil
      }
      guard let bytes = try? CountedBytes(pattern.byteCount, in: ledger),
        (try? pattern.schedules.count(0, in: ledger)) != nil
      else { return }
      state.entries[key] = Entry(pattern: pattern, bytes: bytes, lastUse: state.uses)
    }
    return pattern
  }
}

extension PatternCache? {
  /// The pattern of a key from the cache if there is one, else `build()`.
  /// - Throws: what `build` throws.
  public func pattern<Failure: Error>(
    _ key: PatternCache.Key, _ build: () throws(Failure) -> TilePattern
  ) throws(Failure) -> TilePattern {
    guard let self else { return try build() }
    return try self.pattern(key, build)
  }
}
