import Basics

/// What a stage read of a text, what it kept, and how long it took.
public struct StageCount: Hashable, Sendable {
  /// Tokens of the text.
  public var read = 0
  /// Files that had text.
  public var files = 0
  /// Sentences, passages or windows of it.
  public var units = 0
  /// Tokens that are kept.
  public var kept = 0
  /// Sentences, passages or windows that are kept.
  public var keptUnits = 0
  /// The most bytes of text that were held at a time.
  public var mostHeld = 0
  /// The time that it took.
  public var seconds = 0.0

  /// Takes up what was read.
  mutating func note(_ count: TextStream.Count, holding more: Int = 0) {
    (read, files) = (count.bytes, count.files)
    mostHeld = max(mostHeld, count.mostHeld + more)
  }

  /// The counts by name, for JSON.
  public var json: JSONValue {
    .object([
      "tokens_read": .int(read), "files": .int(files), "units": .int(units), "tokens_kept": .int(kept),
      "units_kept": .int(keptUnits), "most_held_bytes": .int(mostHeld), "seconds": .double(seconds),
    ])
  }

  /// The counts in words.
  public func text(_ unit: String) -> String {
    // Windows overlap: what is read of a text is then more than the text.
    let all = kept > read ? "\(kept) tokens read of" : "\(kept) of"
    return
      "\(counted(keptUnits, unit)) of \(units), \(all) \(counted(read, "token")) in \(counted(files, "file")), "
      + Quantity.describe(seconds: seconds)
  }
}

extension ContinuousClock.Instant {
  /// Seconds since then.
  var seconds: Double { (ContinuousClock().now - self) / .seconds(1) }
}
