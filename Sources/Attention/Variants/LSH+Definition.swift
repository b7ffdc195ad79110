import AttentionCore
import Tensors

extension LSH {
  /// The definition over given inputs: sorts by (bucket, position) and counts how often a query meets a key.
  ///
  /// Buckets come from the same rotations as in the forward pass: they are part of the definition, and two computations
  /// of a near tie must not disagree. All that follows is written anew.
  public func definition(of inputs: Operands) throws -> any Definition {
    let context = ExecutionContext(threads: 1)
    let hashed = try hashing(by: inputs)
    let queries = try hashed.queryBuckets(of: inputs, in: context)
    let keys = try hashed.keyBuckets(of: inputs, in: context)
    let hashes = configuration.hashes
    func rounds(_ buckets: [Int32], _ length: Int, _ batch: Int, _ head: Int) -> [[Int32]] {
      // Padded positions keep the bucket −1, which no valid one has.
      (0..<hashes).map { round in
        let start = ((batch * shape.queryHeads + head) * hashes + round) * length
        return Array(buckets[start..<start + length])
      }
    }
    let definitions = (0..<shape.batch * shape.queryHeads).map { index in
      let (batch, head) = (index / shape.queryHeads, index % shape.queryHeads)
      return LSHDefinition(
        configuration, shape, batch: batch, queries: rounds(queries, shape.queryLength, batch, head),
        keys: rounds(keys, shape.keyLength, batch, head))
    }
    let heads = shape.queryHeads
    let count: @Sendable (Int, Int, Int, Int) -> Int = { batch, head, query, key in
      definitions[batch * heads + head].count(query, key)
    }
    guard configuration.sharedQueryKey else {
      return SoftmaxDefinition(shape: shape, scale: scale, multiplicity: count)
    }
    let normalized = Operand(
      "normalized_query", [.batch, .queryHeads, .keys, .headDim], .given, help: "q/‖q‖, which serves as k")
    let scale = scale
    return SoftmaxDefinition(
      shape: shape, normalizing: [(normalized, .query)],
      terms: { _ in [.product(.query, normalized.name, factor: scale)] }, multiplicity: count)
  }
}

/// How often a query meets a key in one (batch, head), by the letter of the definition.
struct LSHDefinition: Sendable {
  private let configuration: LSH.Configuration
  private let shape: AttentionShape
  private let queries: [[Int32]], keys: [[Int32]]
  /// `[round][token]`: its chunk, counted through all rounds.
  private var chunkOf: [[Int]] = []
  private var chunkCount = 0
  /// `[chunk]`: the chunks that its rows see.
  private var visited: [[Int]] = []
  /// Tokens that are sorted; the rest is padding and in no chunk.
  private let valid: Int
  /// Whether a row has a key other than itself.
  private var hasOther: [Bool] = []

  init(
    _ configuration: LSH.Configuration, _ shape: AttentionShape, batch: Int, queries: [[Int32]],
    keys: [[Int32]]
  ) {
    self.configuration = configuration
    self.shape = shape
    self.queries = queries
    self.keys = keys
    valid = shape.validKeys(batch: batch)
    guard configuration.sharedQueryKey, valid > 0 else { return }
    let length = valid
    let perRound = (length + configuration.chunk - 1) / configuration.chunk
    chunkCount = perRound * queries.count
    var members = [[Int]](repeating: [], count: chunkCount)
    for (round, buckets) in queries.enumerated() {
      let sorted = (0..<length).sorted { (buckets[$0], $0) < (buckets[$1], $1) }
      var chunks = [Int](repeating: 0, count: length)
      for (place, token) in sorted.enumerated() {
        chunks[token] = round * perRound + place / configuration.chunk
        members[chunks[token]].append(token)
      }
      chunkOf.append(chunks)
    }
    visited = (0..<chunkCount).map { [chunkCount] own in
      Self.visited(from: own, of: chunkCount, perRound: perRound, configuration)
    }
    hasOther = (0..<length).map { row in
      queries.indices.contains { round in
        visited[chunkOf[round][row]].contains { chunk in
          members[chunk].contains { key in
            key != row && !shape.isFuture(query: row, key: key)
              && (!configuration.sameBucketOnly || sameBucket(row, key, round, chunk))
          }
        }
      }
    }
  }

  /// The chunks that a chunk's rows see, with repetition.
  private static func visited(
    from own: Int, of chunkCount: Int, perRound: Int, _ configuration: LSH.Configuration
  ) -> [Int] {
    (-configuration.before...configuration.after).compactMap { offset in
      let chunk = own + offset
      if configuration.circular { return ((chunk % chunkCount) + chunkCount) % chunkCount }
      return chunk >= 0 && chunk < chunkCount && chunk / perRound == own / perRound ? chunk : nil
    }
  }

  /// Buckets of different rounds are different buckets.
  private func sameBucket(_ row: Int, _ key: Int, _ round: Int, _ chunk: Int) -> Bool {
    chunk / (chunkCount / queries.count) == round && queries[round][row] == queries[round][key]
  }

  /// How often the query counts the key: no padded key counts, nor, with a shared query–key, a padded row.
  func count(_ row: Int, _ key: Int) -> Int {
    if shape.isFuture(query: row, key: key) || key >= valid { return 0 }
    if configuration.sharedQueryKey && row >= valid { return 0 }
    var count = 0
    for round in queries.indices {
      guard configuration.sharedQueryKey else {
        count += queries[round][row] == keys[round][key] ? 1 : 0
        continue
      }
      for chunk in visited[chunkOf[round][row]]
      where chunkOf[chunk / (chunkCount / queries.count)][key] == chunk {
        if !configuration.sameBucketOnly || sameBucket(row, key, round, chunk) { count += 1 }
      }
    }
    if configuration.sharedQueryKey && row == key && hasOther[row] { return 0 }
    return configuration.duplicates == .drop ? min(1, count) : count
  }
}
