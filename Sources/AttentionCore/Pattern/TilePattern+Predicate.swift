extension TileList {
  /// The tiles of the pairs that count, found from what is said of each: for who does not want to write tiles.
  /// - Parameters:
  ///   - shape: rows, keys, and causality, which cuts pairs: a causal shape's future is not asked for.
  ///   - pass: what the tiles are for; they are lower where that leaves out more and suits the processor.
  ///   - keys: the keys that rows may see, `0 ..< keys`; all when not said.
  ///   - counts: says how often pairs count.
  /// - Throws: what `counts` throws.
  /// - Complexity: each pair is asked for once, half of them in a causal shape, and O(keys) of them again; where
  ///   `PairCounting.commonCount` knows blocks, these are not asked for. Memory is that of the tiles: bands, steps and whole runs
  ///   are a segment each, any other pattern costs up to a bit a pair.
  public init<Counts: PairCounting>(
    for shape: AttentionShape, pass: PassKind = .forward, keys: Int? = nil, counting counts: Counts
  ) throws(Counts.Failure) {
    var finder = TileFinder(shape, keys: min(keys ?? shape.keyLength, shape.keyLength), counts: counts)
    self = try finder.list(for: pass)
  }

  /// The tiles of the pairs for which a predicate is true.
  ///
  /// ```swift
  /// TileList(for: shape) { query, key in abs(query - key) < 10 || key % 3 == 0 }
  /// ```
  /// - Parameters:
  ///   - shape: rows, keys, and causality, which cuts pairs.
  ///   - pass: what the tiles are for.
  ///   - sees: whether the query at a position sees a key.
  /// - Throws: what `sees` throws.
  /// - Complexity: queryLength · keyLength calls, half of them in a causal shape.
  public init<Failure: Error>(
    for shape: AttentionShape, pass: PassKind = .forward,
    where sees: @escaping (_ query: Int, _ key: Int) throws(Failure) -> Bool
  ) throws(Failure) {
    self = try TileList(for: shape, pass: pass) { query, key throws(Failure) in
      try sees(query, key) ? 1 : 0
    }
  }

  /// The tiles of pairs that may count several times.
  /// - Parameters:
  ///   - shape: rows, keys, and causality, which cuts pairs.
  ///   - pass: what the tiles are for.
  ///   - count: how often the query at a position sees a key, 0 to 255.
  /// - Throws: what `count` throws.
  /// - Complexity: queryLength · keyLength calls, half of them in a causal shape.
  public init<Failure: Error>(
    for shape: AttentionShape, pass: PassKind = .forward,
    counting count: @escaping (_ query: Int, _ key: Int) throws(Failure) -> Int
  ) throws(Failure) {
    self = try TileList(for: shape, pass: pass, counting: ClosureCounts(count: count))
  }
}

extension TilePattern {
  /// The tiles of a predicate that is the same for all heads.
  ///
  /// ```swift
  /// pattern = TilePattern(for: shape) { query, key in abs(query - key) < 10 || key % 3 == 0 }
  /// ```
  /// - Parameters:
  ///   - shape: rows, keys, and causality, which cuts pairs: the predicate need not.
  ///   - pass: what the tiles are for; they are lower where that leaves out more and suits the processor.
  ///   - sees: whether the query at a position sees a key.
  /// - Throws: what `sees` throws.
  /// - Complexity: queryLength · keyLength calls, half of them in a causal shape: in `init`, where plans belong, never in a pass.
  public init<Failure: Error>(
    for shape: AttentionShape, pass: PassKind = .forward,
    where sees: @escaping (_ query: Int, _ key: Int) throws(Failure) -> Bool
  ) throws(Failure) {
    self.init(shared: try TileList(for: shape, pass: pass, where: sees))
  }

  /// The tiles of a predicate that depends on the head.
  /// - Parameters:
  ///   - shape: heads, rows, keys, and causality, which cuts pairs: the predicate need not.
  ///   - pass: what the tiles are for; they are lower where that leaves out more and suits the processor.
  ///   - sees: whether the query at a position sees a key in a head.
  /// - Throws: what `sees` throws.
  /// - Complexity: queryHeads · queryLength · keyLength calls, half of them in a causal shape.
  public init<Failure: Error>(
    for shape: AttentionShape, pass: PassKind = .forward,
    where sees: @escaping (_ query: Int, _ key: Int, _ head: Int) throws(Failure) -> Bool
  ) throws(Failure) {
    var lists: [TileList] = []
    for head in 0..<shape.queryHeads {
      lists.append(
        try TileList(for: shape, pass: pass) { query, key throws(Failure) in try sees(query, key, head) })
    }
    self.init(perHead: lists)
  }
}
