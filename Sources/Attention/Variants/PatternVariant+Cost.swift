import AttentionCore

extension PatternVariant {
  /// The closed-form cost: pairs are counted from the tiles, exactly, segment by segment.
  /// - Complexity: O(tiles + segments).
  public func cost(of pass: PassKind) -> Cost {
    Engine.cost(
      of: pass, shape: shape, pattern: pass == .backward ? backwardPattern : pattern,
      neededPairs: neededPairs,
      cachedKeys: stateKeys)
  }

  /// Pairs that count, over batch and query heads, without padded keys.
  private var neededPairs: Double {
    var sum = 0.0
    for valid in shape.keyLengths ?? [shape.keyLength] {
      let perList = pattern.lists.map { $0.neededPairs(queryOffset: shape.queryOffset, validKeys: valid) }
      let batch = shape.keyLengths == nil ? Double(shape.batch) : 1
      for head in 0..<shape.queryHeads { sum += batch * perList[pattern.index(batch: 0, head: head)] }
    }
    return sum
  }
}
