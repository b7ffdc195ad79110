import Basics
import Settings
import Tensors

/// Duplication: 0 w 0 w, where the second w is to be predicted from the first.
///
/// w holds L/2 − 1 uniform symbols of [1, V). The targets from the second 0 on are w₁, w₂, …; the last position, which
/// has no next token, and the first half, which cannot be predicted, are not scored.
///
/// Source: Kitaev, Kaiser and Levskaya 2020, Reformer (arXiv:2001.04451), with L = 1024 and V = 128;
/// `sequence_copy_inputs` in github.com/google/trax (which leaves out the last symbol).
public struct Duplication: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 1024
    /// Symbols and the 0.
    public var vocabulary = 128

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 4...(1 << 24), unit: "tokens", help: "tokens of an example, even"),
      .integer("vocabulary", \.vocabulary, in: 3...(1 << 20), unit: "tokens", help: "symbols and the 0"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "duplication", title: "Duplication (0w0w)",
    paper: "Kitaev, Kaiser and Levskaya 2020, Reformer: the efficient Transformer",
    idea:
      "0w0w: the second word from the first, always the same distance back; not solved by a window shorter than w"
  )

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Throws: `ConfigurationError` when the length is odd.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    guard configuration.length % 2 == 0 else {
      throw ConfigurationError(
        field: "length", value: "\(configuration.length)", allowed: "an even number of tokens")
    }
    self.configuration = configuration
    self.key = key
  }

  /// The second word.
  public var kind: TaskKind { .languageModel }
  /// Symbols and the 0.
  public var vocabularySize: Int { configuration.vocabulary }
  /// Tokens of an example.
  public var length: Int { configuration.length }

  /// Draws one example.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let half = length / 2
    let word = symbols(half - 1, vocabulary: configuration.vocabulary + 1, &generator)
    return Example(
      inputs: [0] + word + [0] + word,
      targets: [Int32](repeating: TaskBatch.ignored, count: half) + word + [TaskBatch.ignored])
  }
}
