import AttentionCore
import Basics
import Settings
import Tensors

extension Operand.Name {
  static let rotations: Operand.Name = "rotations"
  static let buckets: Operand.Name = "buckets"
  static let keyBuckets: Operand.Name = "key_buckets"
}

extension LSH {
  /// q and v, k unless q serves as k, and rotations that may be given.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let rotations = Operand(
      .rotations, [.queryHeads, .headDim, .fixed(configuration.hashes), .any], .given, isOptional: true,
      help: "rotations, [heads, d, hashes, buckets/2]; drawn when not given")
    return (configuration.sharedQueryKey ? [.query, .value] : Operand.standard) + [rotations]
  }

  /// The buckets of queries and keys.
  public static let exports = [
    Export(.buckets, help: "the buckets of the queries, [batch, head, hashes, n]"),
    Export(.keyBuckets, help: "the buckets of the keys, [batch, head, hashes, keys]"),
  ]

  /// Flags that named them before operands did.
  public static let formerNames: [FormerName] = [
    .operand(flag: "rotations", .rotations), .export(flag: "buckets", .buckets),
    .export(flag: "key-buckets", .keyBuckets),
  ]

  /// The buckets of the queries or of the keys.
  /// - Throws: what `queryBuckets` throws.
  public func export(_ name: Operand.Name, of inputs: Operands, in context: ExecutionContext) throws
    -> (values: [Int32], shape: [Int])
  {
    let hashed = try hashing(by: inputs)
    let isKeys = name == .keyBuckets
    let values =
      try isKeys
      ? hashed.keyBuckets(of: inputs, in: context) : hashed.queryBuckets(of: inputs, in: context)
    let length = isKeys ? shape.keyLength : shape.queryLength
    return (values, [shape.batch, shape.queryHeads, configuration.hashes, length])
  }

  /// The variant with the rotations that the inputs bring, if they do.
  /// - Throws: `ConfigurationError` when they do not fit.
  func hashing(by inputs: Operands) throws(ConfigurationError) -> LSH {
    guard let given = inputs[.rotations] else { return self }
    return try with(rotations: given.array(), shape: given.shape)
  }

  /// The variant with rotations from outside, `[head, headDim, hashes, r]`: `r` is half the buckets, or half the sum of
  /// two factors. All sequences are hashed by them; when no number of buckets is set, it is that of the longest.
  /// - Throws: `ConfigurationError` when the shape does not fit heads, head dim, hashes and buckets, or a number is not
  ///   finite.
  public func with(rotations given: [Float], shape given4: [Int]) throws(ConfigurationError) -> LSH {
    let own = configuration.halves(tokens: shape.validKeyCounts.max() ?? 0)
    let count = 2 * own.first * max(1, 2 * own.second)
    let leading = [shape.queryHeads, shape.headDim, configuration.hashes]
    let expected = "[\(leading[0]), \(leading[1]), \(leading[2]), \(count / 2)]"
    guard given4.count == 4, Array(given4.prefix(3)) == leading else {
      throw ConfigurationError(field: "rotations", value: "shape \(given4)", allowed: "the shape \(expected)")
    }
    let set: RandomRotations
    if let bad = given.firstIndex(where: { !$0.isFinite }) {
      let index = zip(Tensor.rowMajorStrides(given4), given4).map { bad / $0 % $1 }
      throw ConfigurationError(
        field: "rotations", value: "\(given[bad]) at \(index)", allowed: "finite numbers in single precision")
    }
    if given4[3] == count / 2, !(own.second > 0 && given4[3] == own.first + own.second) {
      set = RandomRotations(given, shape: given4, firstHalf: count / 2, secondHalf: 0)
    } else if own.second > 0, given4[3] == own.first + own.second {
      set = RandomRotations(given, shape: given4, firstHalf: own.first, secondHalf: own.second)
    } else {
      throw ConfigurationError(
        field: "rotations", value: "shape \(given4)",
        allowed: own.second > 0
          ? "the shape \(expected), or \(own.first + own.second) on the last axis for two factors"
          : "the shape \(expected)")
    }
    var result = self
    result.rotations = BatchRotations(set, batch: shape.batch)
    return result
  }

  /// The buckets of the queries, flat `[batch, head, hashes, queryLength]`; with a shared query–key −1 in padded positions,
  /// which are in no bucket.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  public func queryBuckets(of inputs: Operands, in context: ExecutionContext) throws -> [Int32] {
    // Rows of a q of its own are not known to be padding.
    let valid =
      configuration.sharedQueryKey
      ? shape.validKeyCounts : Array(repeating: shape.queryLength, count: shape.batch)
    return try rotations.buckets(of: inputs.query, valid: valid, in: context)
  }

  /// The buckets of the keys, flat `[batch, head, hashes, keyLength]`: those of the queries when they are shared; −1 in padded
  /// positions.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  public func keyBuckets(of inputs: Operands, in context: ExecutionContext) throws -> [Int32] {
    try rotations.buckets(
      of: configuration.sharedQueryKey ? inputs.query : inputs.key, valid: shape.validKeyCounts, in: context)
  }

  /// The tiles of given inputs, one list a (batch, head), counted in the context's ledger: they are made anew for every input,
  /// so they are workspace.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`, `ConfigurationError`.
  public func pattern(for inputs: Operands, in context: ExecutionContext) throws -> TilePattern {
    let pattern = try hashing(by: inputs).tiles(of: inputs, in: context)
    try pattern.count(in: context.ledger)
    return pattern
  }

  private func tiles(of inputs: Operands, in context: ExecutionContext) throws -> TilePattern {
    let queries = try queryBuckets(of: inputs, in: context)
    let keys = configuration.sharedQueryKey ? queries : try keyBuckets(of: inputs, in: context)
    let count = shape.batch * shape.queryHeads
    let hashes = configuration.hashes
    let lists = try Parallel.map(count: count, threads: context.threads) { index in
      try context.checkCancellation()
      let batch = index / shape.queryHeads
      let valid = shape.validKeys(batch: batch), bucketCount = rotations[batch].bucketCount
      // Padded positions stand behind the valid ones: what is left out is the end of every round.
      func rounds(_ buckets: [Int32], _ length: Int, first count: Int) -> [ArraySlice<Int32>] {
        (0..<hashes).map { round in
          let start = (index * hashes + round) * length
          return buckets[start..<start + count]
        }
      }
      let keyRounds = rounds(keys, shape.keyLength, first: valid)
      return configuration.sharedQueryKey
        ? LSHChunks(configuration, shape, buckets: keyRounds, bucketCount: bucketCount).tiles()
        : LSHBuckets(
          configuration, shape, queries: rounds(queries, shape.queryLength, first: shape.queryLength),
          keys: keyRounds, bucketCount: bucketCount
        ).tiles()
    }
    return TilePattern(perBatchAndHead: lists, heads: shape.queryHeads)
  }

  /// How often a token that sees only itself counts: once a round, and on a circle once for every time that its view
  /// comes round to it.
  func selfCount(batch: Int, head: Int, row: Int, in pattern: TilePattern) -> Int {
    if configuration.duplicates == .drop { return 1 }
    guard configuration.circular else { return configuration.hashes }
    if configuration.sameBucketOnly {
      return configuration.hashes * LSHChunks.ownVisits(configuration, length: shape.validKeys(batch: batch))
    }
    let list = pattern.list(batch: batch, head: head)
    return list.tiles.reduce(0) { count, tile in
      guard list.rows(of: tile).contains(row) else { return count }
      return list.segments(of: tile).reduce(count) { $0 + list.keys(of: $1).count { $0 == row } }
    }
  }
}

/// Tokens sorted by (bucket, position), in linear time.
struct BucketOrder {
  /// The tokens in order.
  let tokens: [Int32]
  /// Where every bucket begins in `tokens`; one more entry than buckets.
  let starts: [Int32]

  init(_ buckets: ArraySlice<Int32>, bucketCount: Int) {
    var starts = [Int32](repeating: 0, count: bucketCount + 1)
    for bucket in buckets { starts[Int(bucket) + 1] += 1 }
    for bucket in 0..<bucketCount { starts[bucket + 1] += starts[bucket] }
    var next = starts
    var tokens = [Int32](repeating: 0, count: buckets.count)
    for (token, bucket) in buckets.enumerated() {
      tokens[Int(next[Int(bucket)])] = Int32(token)
      next[Int(bucket)] += 1
    }
    self.tokens = tokens
    self.starts = starts
  }
}
