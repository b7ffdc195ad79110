extension AttentionShape {
  /// Pairs of full attention in one head: all, or those with `j ≤ i`; keys from `validKeys` on left out.
  package func prefixPairs(validKeys: Int) -> Double {
    guard isCausal else { return Double(queryLength) * Double(validKeys) }
    // Row r sees min(valid, r + offset + 1) keys, none when that is negative.
    let first = max(0, -queryOffset)
    let saturated = min(max(first, validKeys - queryOffset), queryLength)
    let rising = Double(saturated - first)
    let start = Double(first + queryOffset + 1)
    return rising * start + rising * (rising - 1) / 2 + Double(queryLength - saturated) * Double(validKeys)
  }
}
