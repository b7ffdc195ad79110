import AttentionCore

/// Which means a query sees, level by level; level 0 are the keys themselves.
///
/// A block of level ℓ has 2^ℓ keys and begins at a multiple of that. With p one behind the query's position, the past of level ℓ
/// reaches from `border(ℓ + 1)` to `border(ℓ)`, `border(ℓ) = ⌊(p − window·2^(ℓ−1))/2^ℓ⌋·2^ℓ`; so blocks are whole, and no key is in
/// two of them. The future is its mirror image.
struct PyramidLevels {
  let window: Int
  let isCausal: Bool
  /// Keys of the sequence.
  let keys: Int
  /// The last level: its blocks are no longer than the sequence.
  let last: Int

  init(window: Int, isCausal: Bool, keys: Int) {
    (self.window, self.isCausal, self.keys) = (window, isCausal, keys)
    last = Int.bitWidth - 1 - max(1, keys).leadingZeroBitCount
  }

  /// Blocks of a level.
  func blocks(_ level: Int) -> Int { (keys + (1 << level) - 1) >> level }

  /// The blocks of a level before a query at a position, and at level 0 all keys that it sees singly.
  func past(_ level: Int, _ position: Int) -> Range<Int> {
    let end = level == 0 ? position + 1 + (isCausal ? 0 : future(position, 1)) : border(level, position)
    return clipped(level, level == last ? 0 : border(level + 1, position), end)
  }

  /// The blocks of a level from 1 on behind a query.
  func future(_ level: Int, behind position: Int) -> Range<Int> {
    if isCausal || level == 0 { return 0..<0 }
    let begin = position + 1 + future(position, level)
    return clipped(level, begin, level == last ? Int.max : position + 1 + future(position, level + 1))
  }

  private func border(_ level: Int, _ position: Int) -> Int {
    ((position + 1 - window << (level - 1)) >> level) << level
  }

  /// The distance from behind a query to where its future of a level begins.
  private func future(_ position: Int, _ level: Int) -> Int {
    let first = position + 1 + window << (level - 1)
    return (((first + (1 << level) - 1) >> level) << level) - position - 1
  }

  private func clipped(_ level: Int, _ begin: Int, _ end: Int) -> Range<Int> {
    let low = min(max(0, begin), keys), high = max(low, min(end, keys))
    return low >> level..<(low == high ? low >> level : (high + (1 << level) - 1) >> level)
  }
}

/// Where the rows of all levels lie in one array of keys: level after level, each from a multiple of 64 on.
struct PyramidRows {
  /// Keys of the longest sequence.
  let keyLength: Int
  /// The first row of every level.
  let starts: [Int]
  /// All rows.
  let count: Int

  init(keyLength: Int) {
    var starts: [Int] = [], count = 0
    let last = PyramidLevels(window: 1, isCausal: true, keys: keyLength).last
    for level in 0...last {
      starts.append(count)
      let blocks = (keyLength + (1 << level) - 1) >> level
      // The sums of gradients of 64 rows are one piece of work: what they are must not depend on how long other levels are.
      count += (blocks + 63) / 64 * 64
    }
    (self.keyLength, self.starts, self.count) = (keyLength, starts, count)
  }

  /// Blocks of a level.
  func blocks(_ level: Int) -> Int { (keyLength + (1 << level) - 1) >> level }
}
