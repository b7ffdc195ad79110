import Basics
import RealModule
import Settings
import Tensors

/// Multi-query associative recall: N key–value pairs, then every key once more, to be answered by its value.
///
/// The first 2N tokens are k₁ v₁ … k_N v_N, keys distinct in [1, V/2), values distinct in [V/2, V). The other
/// L − 2N tokens are two-token slots; N of them, drawn without replacement with probability ∝ (slot + 1)^(a−1), hold
/// a key at their first position, where its value is the target. All else is 0 (or a random token) and not scored.
/// Small gaps are likelier than large ones, as between repeated bigrams of text.
///
/// With `updates` U (forgetting MQAR), U keys follow the pairs once more, each with another value than its own, which is the
/// one that counts: a state must replace what it holds, not add to it. The slots begin behind them.
///
/// Source: Arora et al. 2023 (arXiv:2312.04927); the rules are those of `multiquery_ar` in github.com/HazyResearch/zoology.
/// Its `forgetting_mqar` draws a second value that differs from another key's, so that a key may keep its own; here none does.
public struct MultiQueryRecall: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 256
    /// Half of them keys, half values.
    public var vocabulary = 8192
    /// Key–value pairs.
    public var pairs = 16
    /// The exponent of the law of gaps, plus 1.
    public var power = 0.01
    /// Whether unused positions hold random tokens.
    public var noise = false
    /// Keys that are told a second value behind all pairs; the last one told counts.
    public var updates = 0

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 4...(1 << 24), unit: "tokens", help: "tokens of an example, even"),
      .integer("vocabulary", \.vocabulary, in: 4...(1 << 20), unit: "tokens", help: "half keys, half values"),
      .integer("pairs", \.pairs, in: 1...(1 << 22), help: "key-value pairs; 4 pairs <= length"),
      .real("power", \.power, in: 0...1, help: "a of the gap law (slot+1)^(a-1); 1 is uniform"),
      .flag("noise", \.noise, help: "fill unused positions with random tokens instead of 0"),
      .integer(
        "updates", \.updates, in: 0...(1 << 22),
        help: "keys that are told another value behind all pairs, which counts from then on (forgetting MQAR)"
      ),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "mqar", title: "Multi-query associative recall",
    paper: "Arora et al. 2023, Zoology: measuring and improving recall in efficient language models",
    idea: "key-value pairs, then each key again: answer with its value; recall that a short window loses")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey
  private let slotWeights: [Double]

  /// Creates the task.
  /// - Throws: `ConfigurationError` when the pairs do not fit.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration
    guard c.length % 2 == 0 else {
      throw ConfigurationError(field: "length", value: "\(c.length)", allowed: "an even number of tokens")
    }
    guard 4 * c.pairs <= c.length else {
      throw ConfigurationError(
        field: "pairs", value: "\(c.pairs)", allowed: "at most length/4 = \(c.length / 4) pairs")
    }
    let most = min(c.pairs, (c.length - 4 * c.pairs) / 2)
    guard c.updates <= most else {
      throw ConfigurationError(
        field: "updates", value: "\(c.updates)",
        allowed: "at most \(most) with \(c.pairs) pairs in \(c.length) tokens: a key once, two tokens each")
    }
    guard c.pairs <= c.vocabulary / 2 - 1 else {
      throw ConfigurationError(
        field: "vocabulary", value: "\(c.vocabulary)",
        allowed: "at least \(2 * c.pairs + 2) tokens for \(c.pairs) distinct keys")
    }
    self.configuration = c
    self.key = key
    slotWeights = (0..<(c.length - 2 * (c.pairs + c.updates)) / 2).map {
      Double.pow(Double($0 + 1), c.power - 1)
    }
  }

  /// A value after every queried key.
  public var kind: TaskKind { .languageModel }
  /// Keys, values and 0.
  public var vocabularySize: Int { configuration.vocabulary }
  /// Tokens of an example.
  public var length: Int { configuration.length }

  /// Draws one example.
  /// - Complexity: O(slots · log slots).
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, half = c.vocabulary / 2
    let keys = distinct(c.pairs, in: 1..<half, &generator)
    let values = distinct(c.pairs, in: half..<c.vocabulary, &generator)
    let slots = successiveSample(c.pairs, weights: slotWeights, &generator)
    let told = 2 * (c.pairs + c.updates)
    var inputs = [Int32](repeating: 0, count: c.length)
    var targets = [Int32](repeating: TaskBatch.ignored, count: c.length)
    if c.noise {
      for position in told..<c.length {
        inputs[position] = Int32(generator.integer(below: c.vocabulary))
      }
    }
    for pair in 0..<c.pairs {
      inputs[2 * pair] = Int32(keys[pair])
      inputs[2 * pair + 1] = Int32(values[pair])
      let position = told + 2 * slots[pair]
      inputs[position] = Int32(keys[pair])
      targets[position] = Int32(values[pair])
    }
    guard c.updates > 0 else { return Example(inputs: inputs, targets: targets) }
    for (number, pair) in distinct(c.updates, in: 0..<c.pairs, &generator).enumerated() {
      // Another value than its own: the draw skips that one.
      let other = half + generator.integer(below: c.vocabulary - half - 1)
      let value = Int32(other < values[pair] ? other : other + 1)
      inputs[2 * (c.pairs + number)] = Int32(keys[pair])
      inputs[2 * (c.pairs + number) + 1] = value
      targets[told + 2 * slots[pair]] = value
    }
    return Example(inputs: inputs, targets: targets)
  }
}
