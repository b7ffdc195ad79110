import AttentionCore
import Basics
import Settings
import Tensors

/// Attention over several scales: near keys singly, farther ones as means of 2, 4, 8, … neighbours that count as often.
///
/// The mean of 2^ℓ keys takes their place where its block ends at least `window·2^(ℓ−1)` keys before the query or begins as far
/// behind it, for the largest such ℓ: levels meet at distances of about `window`, `2·window`, `4·window`. A mean of c keys weighs
/// `c·exp(scale · q·k̄)`, so that every key counts once and values that are all equal come out as they are. Blocks begin at
/// multiples of their length; a causal query sees whole past blocks alone; the last block of a sequence is the mean of the keys
/// that it has.
/// - Complexity: O(n·window·log(n/window)·d) time, O(n·d) memory: means are twice the keys.
public struct Pyramid: RowSoftmaxVariant {
  /// The width of a level.
  public struct Configuration: VariantConfiguration {
    /// Keys that are seen singly, on either side.
    public var window = 64

    /// The defaults.
    public init() {}

    /// Creates a width.
    public init(window: Int) { self.window = window }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "window", \.window, in: 1...(1 << 24), unit: "keys",
        help: "Keys on either side that are seen singly; means of 2^l keys begin window·2^(l-1) keys away")
    ]

    /// Windows that make many levels of a few hundred tokens.
    public static let samples = [
      Configuration(window: 4), Configuration(window: 1), Configuration(window: 19),
    ]

    /// All keys are kept: their means are made anew for every query.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "pyramid", title: "Pyramid",
    paper: "in the spirit of Zhu and Soricut, 2021, H-Transformer-1D, and of the fast multipole method",
    idea: "A query sees near keys singly and farther ones as means of 2, 4, 8, … neighbours.",
    equation:
      "oᵢ = Σ_g c_g e^{qᵢ·k̄_g/√d} v̄_g / Σ_g c_g e^{qᵢ·k̄_g/√d},  g: blocks of c_g = 2^ℓ keys at about window·2^ℓ"
  )

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  private let pattern: TilePattern
  private let means: PyramidMeans

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// A mean has no place of its own, and is none of tanh or of products with rows by distance.
  public static var reasonForProducts: String {
    "a mean of keys has no distance, and its tanh is not the mean of theirs"
  }

  /// The counts are part of the score that a cap would bound.
  public static let takesSoftcap = false

  /// Plans for a shape, with the patterns that other variants of one owner have, too.
  /// - Throws: `ConfigurationError` for a soft cap: the counts are part of the score that it would bound.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    if let softcap = shape.softcap {
      throw ConfigurationError(
        field: "softcap", value: "\(softcap)",
        allowed: "none with pyramid: it would bound how often a mean counts")
    }
    guard shape.keyLength <= 1 << 28 else {
      throw ConfigurationError(
        field: "key length", value: "\(shape.keyLength)", allowed: "at most \(1 << 28) with pyramid")
    }
    self.configuration = configuration
    self.shape = shape
    let rows = PyramidRows(keyLength: shape.keyLength)
    means = PyramidMeans(shape: shape, rows: rows)
    pattern = shape.patternBySequence(where: true) { valid in
      patterns.pattern(.init(Pyramid.self, configuration, shape: shape, validKeys: valid)) {
        TilePattern(shared: Pyramid.tiles(configuration.window, shape, rows, validKeys: valid))
      }
    }
  }

  /// Bytes of the tile lists and of their schedules.
  public var planBytes: Int { pattern.planBytes }

  /// The sizes of the softmax over means.
  private var pooledShape: AttentionShape {
    var pooled = shape
    (pooled.isCausal, pooled.keyLength, pooled.keyLengths) = (false, means.rows.count, nil)
    (pooled.headDim, pooled.scale) = (shape.headDim + 1, 1)
    return pooled
  }

  /// Plans a pass.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    try Engine.prepare(pattern, for: pass, shape: pooledShape, in: context)
  }

  /// Makes the means, then the softmax over them.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(shape)
    let pooled = try pooled(inputs, in: context)
    return try Engine.attend(pooled, shape: pooledShape, scale: 1, pattern: pattern, in: context)
      .turningBack { gradient, context in
        Operands(
          query: try means.queryGradient(gradient.query, in: context),
          key: try means.gradient(gradient.key, dim: shape.headDim, in: context),
          value: try means.gradient(gradient.value, dim: shape.valueDim, in: context))
      }
  }

  /// q, scaled, and the keys and values of all levels.
  private func pooled(_ inputs: Operands, in context: ExecutionContext) throws -> Operands {
    Operands(
      query: try means.queries(inputs.query, in: context),
      key: try means.make(inputs.key, counting: true, in: context),
      value: try means.make(inputs.value, counting: false, in: context))
  }

  /// Those over keys and means, a mean as often as it counts.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    // The last element of a row is the logarithm of its count, and no part of its score.
    var statistics = TileStatistics(
      shape: pooledShape, pattern: pattern, score: .products(1, dim: shape.headDim))
    statistics.counts = { means.count(of: $1, batch: $0) }
    return try statistics.rows(of: pooled(inputs, in: context), in: context)
  }

  /// Key by key: the largest block around it that is far enough from the query takes its place.
  public func definition(of inputs: Operands) throws -> any Definition {
    let (shape, window) = (shape, configuration.window)
    @Sendable func level(of key: Int, _ position: Int, _ valid: Int) -> Int {
      var found = 0, level = 1
      while 1 << level <= valid {
        let begin = (key >> level) << level, distance = window << (level - 1)
        let isPast = begin + 1 << level <= position + 1 - distance
        let isFuture = !shape.isCausal && begin >= position + 1 + distance
        if isPast || isFuture { found = level }
        level += 1
      }
      return found
    }
    var groups: [Range<Int>] = []
    var length = 1
    while length <= shape.keyLength {
      for begin in stride(from: 0, to: shape.keyLength, by: length) { groups.append(begin..<begin + length) }
      length *= 2
    }
    return PooledDefinition(shape: shape, groups: groups) { batch, query, group in
      let position = query + shape.queryOffset
      if shape.isCausal && group.lowerBound > position { return false }
      return 1 << level(of: group.lowerBound, position, shape.validKeys(batch: batch)) == group.count
    }
  }

  /// The cost over pairs of a query and a key or mean, and what the means take.
  /// - Complexity: O(tiles + segments + mask words).
  public func cost(of pass: PassKind) -> Cost {
    var needed = 0.0, found: [Int: Double] = [:]
    for batch in 0..<shape.batch {
      let list = pattern.index(batch: batch, head: 0)
      let pairs =
        found[list] ?? pattern.lists[list].neededPairs(queryOffset: 0, validKeys: means.rows.count)
      found[list] = pairs
      needed += pairs * Double(shape.queryHeads)
    }
    let engine = Engine.cost(
      of: pass, shape: pooledShape, pattern: pattern, neededPairs: needed, stateBytes: stateBytes)
    var cost = Cost(
      of: pass, shape: shape, neededPairs: needed, executedPairs: engine.executedPairs ?? 0,
      workspaceBytes: engine.workspaceBytes + means.bytes(of: pass), stateBytes: stateBytes)
    // The logarithm of a mean's count is one element more of every product with keys.
    let perPair = pass == .backward ? 6.0 : 2.0
    cost.flops += perPair * (cost.neededPairs ?? 0) + means.operations
    return cost
  }
}
