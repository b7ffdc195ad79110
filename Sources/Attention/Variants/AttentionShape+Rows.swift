import AttentionCore

extension AttentionShape {
  /// The number of absolute positions that rows and keys have.
  var positions: Int { isCausal ? keyLength : max(queryLength, keyLength) }

  /// Consecutive runs of up to 64 query rows.
  func rowTiles(of rows: Range<Int>) -> [Range<Int>] {
    stride(from: rows.lowerBound, to: rows.upperBound, by: TileList.lanes).map {
      $0..<min($0 + TileList.lanes, rows.upperBound)
    }
  }

  /// The same, none with rows on both sides of a sequence's end: a tile of valid rows then has the height, and so the bits,
  /// that it has without padding.
  func rowTiles(of rows: Range<Int>, cutAt validKeys: Int) -> [Range<Int>] {
    let end = validKeys - queryOffset
    guard validKeys < keyLength, rows.lowerBound < end, end < rows.upperBound else {
      return rowTiles(of: rows)
    }
    return rowTiles(of: rows.lowerBound..<end) + rowTiles(of: end..<rows.upperBound)
  }

  /// How many keys a row sees at all: a prefix, whether for causality or for padding.
  func visibleKeys(batch: Int, row: Int) -> Int {
    let valid = validKeys(batch: batch)
    return isCausal ? max(0, min(valid, row + queryOffset + 1)) : valid
  }

  /// Whether a causal shape forbids the pair.
  func isFuture(query: Int, key: Int) -> Bool { isCausal && key > query + queryOffset }

  /// The valid keys of every sequence.
  var validKeyCounts: [Int] { (0..<batch).map { validKeys(batch: $0) } }

  /// A pattern for every number of valid keys in the batch; one for all where it does not depend on them.
  func patternBySequence<Failure: Error>(
    where depends: Bool, _ make: (_ validKeys: Int) throws(Failure) -> TilePattern
  ) throws(Failure) -> TilePattern {
    let counts = validKeyCounts
    guard depends, let first = counts.first else { return try make(keyLength) }
    return counts.allSatisfy { $0 == first } ? try make(first) : try TilePattern(perBatch: counts, make)
  }
}
