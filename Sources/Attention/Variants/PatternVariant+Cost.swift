import AttentionCore

extension PatternVariant {
  /// The closed-form cost: pairs are counted from the tiles, exactly, segment by segment.
  /// - Complexity: O(tiles + segments).
  public func cost(of pass: PassKind) -> Cost {
    Engine.cost(
      of: pass, shape: shape, operands: operandsRead, pattern: pass == .backward ? backwardPattern : pattern,
      neededPairs: pattern.neededPairs(at: shape), stateBytes: stateBytes)
  }
}

extension TilePattern {
  /// Pairs that count, over batch and query heads, without padded keys.
  /// - Complexity: O(tiles + segments).
  func neededPairs(at shape: AttentionShape) -> Double {
    // A list serves several heads, and sequences of several lengths.
    var found: [[Int]: Double] = [:]
    var sum = 0.0
    for batch in 0..<shape.batch {
      let valid = shape.validKeys(batch: batch)
      for head in 0..<shape.queryHeads {
        let list = index(batch: batch, head: head)
        let pairs =
          found[[list, valid]] ?? lists[list].neededPairs(queryOffset: shape.queryOffset, validKeys: valid)
        found[[list, valid]] = pairs
        sum += pairs
      }
    }
    return sum
  }
}
