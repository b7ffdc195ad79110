import Basics
import Settings
import Tensors

/// Reversal: read a word, write it backwards; the smallest real sequence-to-sequence task.
///
/// source = w₁ … w_n with n uniform in minimum … maximum and symbols uniform in [3, V); the decoder reads
/// START w_n … w₁ and is to write w_n … w₁ END. Tokens: 0 padding, 1 START, 2 END. Padded targets are not scored.
///
/// Source: Sutskever, Vinyals and Le 2014 (arXiv:1409.3215) on the order of source and target.
public struct Reversal: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// The shortest word.
    public var minimum = 8
    /// The longest word.
    public var maximum = 32
    /// Symbols, padding, START and END.
    public var vocabulary = 32

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("minimum", \.minimum, in: 1...(1 << 20), unit: "tokens", help: "the shortest word"),
      .integer("maximum", \.maximum, in: 1...(1 << 20), unit: "tokens", help: "the longest word"),
      .integer(
        "vocabulary", \.vocabulary, in: 4...(1 << 20), unit: "tokens", help: "symbols, padding, START and END"
      ),
    ]
  }

  /// What the decoder reads first.
  public static let start: Int32 = 1
  /// What the decoder writes last.
  public static let end: Int32 = 2

  /// What the task is.
  public static let card = TaskCard(
    id: "reversal", title: "Reversal",
    paper: "Sutskever, Vinyals and Le 2014, Sequence to sequence learning with neural networks",
    idea: "read a word with the encoder, write it backwards with the decoder")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Throws: `ConfigurationError` when the shortest word is longer than the longest.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    guard configuration.minimum <= configuration.maximum else {
      throw ConfigurationError(
        field: "minimum", value: "\(configuration.minimum)",
        allowed: "at most maximum = \(configuration.maximum)")
    }
    self.configuration = configuration
    self.key = key
  }

  /// The word backwards.
  public var kind: TaskKind { .sequenceToSequence }
  /// Symbols, padding, START and END.
  public var vocabularySize: Int { configuration.vocabulary }
  /// The longest word and START.
  public var length: Int { configuration.maximum + 1 }
  /// The longest word.
  public var sourceLength: Int { configuration.maximum }

  /// Draws one example.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration
    let count = c.minimum + generator.integer(below: c.maximum - c.minimum + 1)
    let word = (0..<count).map { _ in Int32(3 + generator.integer(below: c.vocabulary - 3)) }
    let backwards = Array(word.reversed())
    return Example(inputs: [Reversal.start] + backwards, targets: backwards + [Reversal.end], source: word)
  }
}
