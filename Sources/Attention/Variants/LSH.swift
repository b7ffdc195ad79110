import AttentionCore
import Basics
import Settings
import Tensors

/// Locality-sensitive hashing attention (Reformer).
///
/// `sharedQueryKey` (the original): `k = x/‖x‖`, `q = x`, no further scale; in every round tokens are sorted by bucket and
/// position and cut in chunks, and a chunk sees its neighbours; a token sees itself only when it has nothing else.
/// Otherwise, on ordinary q and k: a query sees the keys of its own bucket in each round, at the usual scale.
/// Rounds are combined by the softmax of their LSEs, which is one softmax over all rounds' keys with repetition.
///
/// A padded token is hashed into no bucket and stands in no chunk; with a shared query–key it sees nothing either (output 0,
/// LSE −∞). Chunks, rounds, a circle's ends and the automatic number of buckets are those of the valid tokens of each sequence,
/// and rotations are drawn for that number, so a sequence gives in a padded batch what it gives alone.
/// - Complexity: O(hashes · n · chunk · (1 + before + after) · d), and O(hashes · n · d · buckets/2) for the hashes; the sort
///   is linear.
/// - Source: Kitaev, Kaiser and Levskaya, 2020.
public struct LSH: SoftmaxVariant {
  /// What a key found in several rounds counts.
  public enum Duplicates: String, CaseIterable, Sendable {
    /// Once a round, as in the original.
    case keep
    /// Once in all.
    case drop
  }

  /// Hashing, sorting and chunking.
  public struct Configuration: VariantConfiguration {
    /// Buckets a round, even; `nil`: `2·n/chunk` of the n valid tokens of a sequence, rounded down to a power of two.
    public var buckets: Int?
    /// Rounds of hashing.
    public var hashes = 4
    /// Sorted tokens in a chunk.
    public var chunk = 64
    /// Chunks before a query's own that it sees.
    public var before = 1
    /// Chunks after a query's own that it sees.
    public var after = 0
    /// Names the rotations.
    public var seed = 0
    /// Whether q serves as k, normalised.
    public var sharedQueryKey = true
    /// Whether the first chunk of a round looks back on the last of the round before, and the very first on the very last.
    public var circular = false
    /// Whether a query sees only keys of its own bucket.
    public var sameBucketOnly = false
    /// What a key found in several rounds counts.
    public var duplicates = Duplicates.keep
    /// More buckets than this are hashed as two factors.
    public var factorAbove = 128

    /// The defaults.
    public init() {}

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .optionalInteger(
        "buckets", \.buckets, in: 2...(1 << 20),
        help: "Buckets a round, an even number; none: 2·n/chunk, rounded down to a power of two"),
      .integer("hashes", \.hashes, in: 1...64, unit: "rounds", help: "Rounds of hashing"),
      .integer("chunk", \.chunk, in: 1...(1 << 24), unit: "tokens", help: "Sorted tokens in a chunk"),
      .integer(
        "before", \.before, in: 0...4096, unit: "chunks", help: "Chunks before a query's own that it sees"),
      .integer(
        "after", \.after, in: 0...4096, unit: "chunks", help: "Chunks after a query's own that it sees"),
      .integer("seed", \.seed, help: "Names the random rotations"),
      .flag(
        "shared_query_key", \.sharedQueryKey, help: "q serves as k, normalised (Reformer); k is not read"),
      .flag(
        "circular", \.circular, help: "The first chunk looks back on the last, across rounds (the original)"),
      .flag("same_bucket_only", \.sameBucketOnly, help: "A query sees only keys of its own bucket"),
      .choice(
        "duplicates", \.duplicates, help: "A key found in several rounds counts once a round, or once in all"),
      .integer(
        "factor_above", \.factorAbove, in: 2...(1 << 20),
        help: "More buckets than this are hashed as two factors"),
    ]

    /// Small buckets and chunks, each option once.
    public static let samples: [Configuration] = {
      func sample(_ change: (inout Configuration) -> Void) -> Configuration {
        var configuration = Configuration()
        (configuration.buckets, configuration.hashes, configuration.chunk) = (8, 2, 16)
        change(&configuration)
        return configuration
      }
      return [
        sample { _ in }, sample { ($0.before, $0.after, $0.circular, $0.seed) = (1, 1, true, 3) },
        sample { ($0.sameBucketOnly, $0.duplicates, $0.hashes) = (true, .drop, 3) },
        sample { ($0.duplicates, $0.circular, $0.chunk) = (.drop, true, 20) },
        sample { ($0.buckets, $0.factorAbove, $0.sameBucketOnly) = (16, 8, true) },
        sample { ($0.sharedQueryKey, $0.buckets) = (false, 4) },
        sample { ($0.sharedQueryKey, $0.duplicates, $0.buckets) = (false, .drop, 2) },
      ]
    }()

    /// A shared query–key reads no k.
    public var wiring: LayerWiring { LayerWiring(readsKey: !sharedQueryKey) }

    /// Buckets come in halves; a shared query–key needs as many queries as keys.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      if let buckets, buckets % 2 != 0 {
        throw ConfigurationError(field: "buckets", value: "\(buckets)", allowed: "none or an even number")
      }
      if let buckets, buckets > factorAbove, buckets % 4 != 0 {
        throw ConfigurationError(
          field: "buckets", value: "\(buckets)",
          allowed: "a multiple of 4 above factor_above (\(factorAbove)), for its two factors are even")
      }
      if sharedQueryKey && shape.queryLength != shape.keyLength {
        throw ConfigurationError(
          field: "shared_query_key", value: "true",
          allowed: "false when q and k differ in length (\(shape.queryLength) and \(shape.keyLength) here)")
      }
    }

    /// The halves of the factors of the buckets, for a number of tokens.
    func halves(tokens: Int) -> (first: Int, second: Int) {
      var count = buckets ?? 2
      if buckets == nil { while count * 2 <= 2 * (tokens / chunk) { count *= 2 } }
      guard count > factorAbove, count % 4 == 0 else { return (count / 2, 0) }
      var factor = 2
      for candidate in stride(from: 2, through: count, by: 2)
      where candidate * candidate <= count && count % candidate == 0 && count / candidate % 2 == 0 {
        factor = candidate
      }
      return (factor / 2, count / factor / 2)
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "lsh", title: "Locality-sensitive hashing",
    paper: "Kitaev, Kaiser and Levskaya, 2020, Reformer: The Efficient Transformer",
    idea:
      "Random rotations put similar vectors in the same bucket; queries see their bucket's neighbourhood.",
    equation:
      "oᵢ = Σᵣ softmaxᵣ(lseᵢʳ) Σⱼ softmaxⱼ(qᵢ·kⱼ) vⱼ,  j ∈ chunks around i after sorting by argmax[xR; −xR]",
    dependsOnData: true)

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  var rotations: BatchRotations

  /// Draws the rotations, one set for every number of buckets in the batch.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    self.configuration = configuration
    self.shape = shape
    let halves = shape.validKeyCounts.map { configuration.halves(tokens: $0) }
    rotations = BatchRotations(halves.map { [$0.first, $0.second] }) { halves in
      RandomRotations(
        heads: shape.queryHeads, dim: shape.headDim, hashes: configuration.hashes, firstHalf: halves[0],
        secondHalf: halves[1], key: key("lsh")(configuration.seed))
    }
  }

  /// The factor on q·k: 1 with a shared query–key unless the shape gives one.
  public var scale: Double { configuration.sharedQueryKey ? shape.scale ?? 1 : shape.effectiveScale }

  /// Keys are found by their product with q.
  public static var reasonForProducts: String {
    "its hashes find keys of large products, and say nothing of another score or of distances"
  }

  /// bfloat16 rows are hashed in float32. A shared query–key is up-converted for the rest too: its keys, q/‖q‖, are no inputs, and
  /// rounding them would be a second rounding.
  public static var precisions: [Precision] { Precision.allCases }

  /// Bytes of the rotations.
  public var planBytes: Int { rotations.byteCount }

  /// Reformer's chunks depend on the whole sequence; buckets alone do not.
  public var causality: Causality {
    configuration.sharedQueryKey
      ? .valuesOnly("chunk borders of the sorted sequence move with later tokens, as in the original")
      : .strict
  }

  /// Those over the keys that hashing finds; with a shared query–key over normalised queries, and a row that finds nothing has its own.
  /// - Throws: what the forward pass throws.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    guard configuration.sharedQueryKey else {
      return try TileStatistics(
        shape: shape, scale: scale, pattern: pattern(for: inputs, in: context)
      ).rows(of: inputs, in: context)
    }
    let (query, keys, pattern) = try sharedRows(inputs, in: context)
    var statistics = TileStatistics(shape: spreadShape, scale: scale, pattern: pattern)
    statistics.lonely = { selfCount(batch: $0, head: $1, row: $2, in: pattern) }
    return try statistics.rows(of: Operands(query: query, key: keys, value: keys), in: context)
  }

  /// Hashes, sorts and computes output and LSE; buckets carry no gradients.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`; `ConfigurationError` for given rotations that do not fit.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(shape)
    if configuration.sharedQueryKey { return try shared(inputs, in: context) }
    return try Engine.attend(
      inputs, shape: shape, scale: scale, pattern: pattern(for: inputs, in: context), in: context)
  }

  /// The pass of a shared query–key: all of k's gradient goes to q.
  private func shared(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    let (query, keys, pattern) = try sharedRows(inputs, in: context)
    let values = try spreadValues(inputs, in: context)
    let sharedShape = spreadShape
    var (output, lse) = try Engine.forward(
      query: query, key: keys, value: values, shape: sharedShape, scale: scale, pattern: pattern,
      in: context)
    let lonely = LonelyRows.fill(
      query: query, key: keys, value: values, shape: sharedShape, scale: scale,
      count: { selfCount(batch: $0, head: $1, row: $2, in: pattern) }, output: &output, lse: &lse)
    return Forward(output: output, lse: lse) { outputGradient, rows, context in
      let query = try upconverted(inputs.query, in: context)
      let values = try spreadValues(inputs, in: context)
      var gradient = try Engine.backward(
        outputGradient: outputGradient, query: query, key: keys, value: values, rows: rows,
        shape: sharedShape, scale: scale, pattern: pattern, in: context)
      lonely.addGradient(
        outputGradient, of: rows, reading: Operands(query: query, key: keys, value: values), scale: scale,
        to: &gradient)
      NormalizedRows.addGradient(
        gradient.key, normalized: keys, rows: query, to: &gradient.query, in: context)
      if shape.groupSize == 1 {
        gradient.key.fill(0)
      } else {
        gradient.key = try Tensor(zeros: shape.keyShape, ledger: context.ledger)
      }
      gradient.value = try gradient.value.summingHeads(shape.groupSize, ledger: context.ledger)
      return gradient
    }
  }

  /// Queries in float32, the keys that are made of them, and the tiles that both are hashed to.
  private func sharedRows(
    _ inputs: Operands, in context: ExecutionContext
  ) throws -> (query: Tensor, keys: Tensor, pattern: TilePattern) {
    let query = try upconverted(inputs.query, in: context)
    var hashed = inputs
    (hashed.query, hashed.key) = (query, query)
    return (query, try NormalizedRows.make(query, in: context), try pattern(for: hashed, in: context))
  }

  /// The values of every query head.
  private func spreadValues(_ inputs: Operands, in context: ExecutionContext) throws -> Tensor {
    try upconverted(inputs.value, in: context).repeatingHeads(shape.groupSize, ledger: context.ledger)
  }

  /// The rows in float32.
  private func upconverted(_ rows: Tensor, in context: ExecutionContext) throws -> Tensor {
    rows.precision == .float32 ? rows : try rows.converted(to: .float32, ledger: context.ledger)
  }

  /// The shape in which every query head has float32 keys of its own: its normalised queries.
  private var spreadShape: AttentionShape {
    var spread = shape
    (spread.keyHeads, spread.precision) = (shape.queryHeads, .float32)
    return spread
  }

  /// The expected cost: what a query sees if all chunks (or buckets) are full; the sort and the hashes are extra.
  public func cost(of pass: PassKind) -> Cost {
    var executed = 0.0, hashed = 0.0
    for (batch, valid) in shape.validKeyCounts.enumerated() {
      let set = rotations[batch]
      let rows = Double(shape.queryHeads * (configuration.sharedQueryKey ? valid : shape.queryLength))
      let chunks = Double(1 + configuration.before + configuration.after)
      let perRound =
        configuration.sharedQueryKey
        ? min(Double(valid), chunks * Double(configuration.chunk)) : Double(valid) / Double(set.bucketCount)
      executed += rows * perRound * Double(configuration.hashes)
      hashed += rows * Double(set.hashes * (set.firstHalf + set.secondHalf))
    }
    var cost = Cost(
      of: pass, shape: shape, neededPairs: shape.isCausal ? executed / 2 : executed, executedPairs: executed,
      workspaceBytes: workspaceBytes(pass), stateBytes: stateBytes)
    if pass != .backward { cost.flops += 2 * hashed * Double(shape.headDim) }
    return cost
  }
}
