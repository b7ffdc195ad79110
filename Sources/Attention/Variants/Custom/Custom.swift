import AttentionCore
import Basics
import Settings
import Tensors

/// Attention over the pairs that an expression of the user's says, without a line of Swift: a variant in one setting.
///
/// `i - j < 10 || j % 3 == 0` is true for the pairs that count; an expression whose value is a number says how often. Tiles are
/// found from it in `init` (`TileList.init(for:pass:keys:counting:)`); the definition evaluates it pair by pair.
/// - Complexity: O(pairs that count · d) time, O(n·d) memory; planning evaluates the expression at most once a pair of a head,
///   and not at all in blocks where its bounds decide.
public struct CustomAttention: PatternVariant {
  /// The expression.
  public struct Configuration: VariantConfiguration {
    /// Which pairs count.
    public var expression = "abs(i - j) < 16 || j % 16 == 0"

    /// The defaults.
    public init() {}

    /// Creates a pattern.
    public init(expression: String) { self.expression = PairExpression.onOneLine(expression) }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .text(
        "expression", \.expression, allowed: ParameterWords.expression + "i, j, h and n",
        help: "Pairs that count, of query position i, key position j, head h and number of keys n",
        reading: { text throws(ConfigurationError) in
          let line = PairExpression.onOneLine(text)
          _ = try PairExpression(parsing: line)
          return line
        })
    ]

    /// A band with stripes; dilation; a width a head; blocks of which a pair counts twice, and the last key; rows without keys.
    public static let samples = [
      Configuration(expression: "i - j < 10 || j % 3 == 0"),
      Configuration(expression: "abs(i - j) <= 15 && (i - j) % 3 == 0"),
      Configuration(expression: "abs(i - j) < 8 * (h + 1)"),
      Configuration(expression: "2 * (i / 24 == j / 24) + (j == n - 1)"),
      Configuration(expression: "i > 3 && j < i - 4"),
    ]

    /// None can be dropped, for an expression may ask for any later; with n in it an earlier row changes with every key.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      let parsed = try? PairExpression(parsing: expression)
      return parsed?.reads(.n) == false ? 0..<0 : nil
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "custom", title: "Custom",
    paper: "an idea of your own",
    idea: "A query sees the keys for which an expression of positions is true.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  expression(i, j, h, n) ≠ 0")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  /// The tiles.
  public let pattern: TilePattern
  private let readsCount: Bool, readsHead: Bool
  private let defined: DefinedCounts
  private let higherTiles: Once<TilePattern>

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// Plans for a shape, with the patterns that other variants of one owner have, too.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    let expression = try PairExpression(parsing: configuration.expression)
    self.configuration = configuration
    self.shape = shape
    (readsCount, readsHead) = (expression.reads(.n), expression.reads(.h))
    defined = DefinedCounts(expression, isCausal: shape.isCausal)
    let forward = try Self.pattern(expression, configuration, shape, .forward, patterns)
    pattern = forward
    // What the forward pass evaluated without an error has none in the same pairs again.
    higherTiles = Once {
      (try? Self.pattern(expression, configuration, shape, .backward, patterns)) ?? forward
    }
  }

  /// The same pairs in higher tiles.
  public var backwardPattern: TilePattern { higherTiles.value }

  /// Bytes of the tile lists and schedules of the passes that were planned.
  public var planBytes: Int { pattern.planBytes + (higherTiles.valueIfMade?.planBytes ?? 0) }

  private static func pattern(
    _ expression: PairExpression, _ configuration: Configuration, _ shape: AttentionShape, _ pass: PassKind,
    _ patterns: PatternCache?
  ) throws(ConfigurationError) -> TilePattern {
    let readsCount = expression.reads(.n), readsHead = expression.reads(.h)
    let part = (pass == .backward ? "backward" : "forward") + (readsHead ? ", \(shape.queryHeads) heads" : "")
    return try shape.patternBySequence(where: readsCount) { valid throws(ConfigurationError) in
      let key = PatternCache.Key(
        Self.self, configuration, shape: shape, part: part, validKeys: readsCount ? valid : nil)
      return try patterns.pattern(key) { () throws(ConfigurationError) in
        var lists: [TileList] = []
        for head in 0..<(readsHead ? shape.queryHeads : 1) {
          lists.append(
            try TileList(
              for: shape, pass: pass, keys: valid,
              counting: ExpressionCounts(expression, head: head, keys: valid)))
        }
        return readsHead ? TilePattern(perHead: lists) : TilePattern(shared: lists[0])
      }
    }
  }

  /// What the expression says of the pair; causal cuts at the query.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let keys = readsCount ? shape.validKeys(batch: batch) : shape.keyLength
    return defined.count(
      query: query + shape.queryOffset, key: key, head: readsHead ? head : 0, keys: keys)
  }
}
