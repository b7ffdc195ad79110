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
/// Source: Arora et al. 2023 (arXiv:2312.04927); the rules are those of `multiquery_ar` in github.com/HazyResearch/zoology.
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

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 4...(1 << 24), unit: "tokens", help: "tokens of an example, even"),
      .integer("vocabulary", \.vocabulary, in: 4...(1 << 20), unit: "tokens", help: "half keys, half values"),
      .integer("pairs", \.pairs, in: 1...(1 << 22), help: "key-value pairs; 4 pairs <= length"),
      .real("power", \.power, in: 0...1, help: "a of the gap law (slot+1)^(a-1); 1 is uniform"),
      .flag("noise", \.noise, help: "fill unused positions with random tokens instead of 0"),
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
    guard c.pairs <= c.vocabulary / 2 - 1 else {
      throw ConfigurationError(
        field: "vocabulary", value: "\(c.vocabulary)",
        allowed: "at least \(2 * c.pairs + 2) tokens for \(c.pairs) distinct keys")
    }
    self.configuration = c
    self.key = key
    slotWeights = (0..<(c.length - 2 * c.pairs) / 2).map { Double.pow(Double($0 + 1), c.power - 1) }
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
    var inputs = [Int32](repeating: 0, count: c.length)
    var targets = [Int32](repeating: TaskBatch.ignored, count: c.length)
    if c.noise {
      for position in (2 * c.pairs)..<c.length {
        inputs[position] = Int32(generator.integer(below: c.vocabulary))
      }
    }
    for pair in 0..<c.pairs {
      inputs[2 * pair] = Int32(keys[pair])
      inputs[2 * pair + 1] = Int32(values[pair])
      let position = 2 * c.pairs + 2 * slots[pair]
      inputs[position] = Int32(keys[pair])
      targets[position] = Int32(values[pair])
    }
    return Example(inputs: inputs, targets: targets)
  }
}
