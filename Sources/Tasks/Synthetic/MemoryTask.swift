import Basics
import Settings
import Tensors

/// Where a copying task puts the word that is to be remembered.
public protocol MemoryLayoutRule: Sendable {
  /// What the task is.
  static var card: TaskCard { get }
  /// The default settings.
  static var defaults: (tokens: Int, blanks: Int, vocabulary: Int) { get }
  /// The places of the word's tokens among the first `span` positions, in order.
  static func places(_ count: Int, of span: Int, _ generator: inout RandomGenerator) -> [Int]
}

/// A word of M tokens among L blanks, then M markers at which it is to be written again.
///
/// Symbols are uniform in [1, V − 1), blanks are 0, markers V − 1; only the markers are scored.
public struct MemoryTask<Rule: MemoryLayoutRule>: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens to remember.
    public var tokens = Rule.defaults.tokens
    /// Blanks before the answer.
    public var blanks = Rule.defaults.blanks
    /// Symbols, blank and marker.
    public var vocabulary = Rule.defaults.vocabulary

    /// The defaults.
    public init() {}
    /// All parameters.
    public static var parameters: [Parameter<Self>] {
      [
        .integer("tokens", \.tokens, in: 1...(1 << 20), unit: "tokens", help: "tokens to remember"),
        .integer("blanks", \.blanks, in: 0...(1 << 24), unit: "tokens", help: "blanks before the answer"),
        .integer(
          "vocabulary", \.vocabulary, in: 4...(1 << 20), unit: "tokens", help: "symbols, blank and marker"),
      ]
    }
  }

  /// What the task is.
  public static var card: TaskCard { Rule.card }

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    self.configuration = configuration
    self.key = key
  }

  /// A symbol at every marker.
  public var kind: TaskKind { .languageModel }
  /// Symbols, blank and marker.
  public var vocabularySize: Int { configuration.vocabulary }
  /// Tokens, blanks, markers.
  public var length: Int { 2 * configuration.tokens + configuration.blanks }

  /// Draws one example.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, span = c.tokens + c.blanks
    let word = symbols(c.tokens, vocabulary: c.vocabulary, &generator)
    var inputs = [Int32](repeating: 0, count: span)
    for (place, symbol) in zip(Rule.places(c.tokens, of: span, &generator), word) { inputs[place] = symbol }
    return Example(
      inputs: inputs + [Int32](repeating: Int32(c.vocabulary - 1), count: c.tokens),
      targets: [Int32](repeating: TaskBatch.ignored, count: span) + word)
  }
}
