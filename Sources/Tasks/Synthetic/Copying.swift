import Parameters
import Tensors

/// The copying memory task: remember the first tokens across a stretch of blanks.
///
/// x = w₁ … w_M, L blanks (0), M markers (V − 1); the targets at the markers are w₁ … w_M. Symbols are uniform in
/// [1, V − 1). A model without memory scores log(V − 2) nats.
///
/// Source: Hochreiter and Schmidhuber 1997; Arjovsky, Shah and Bengio 2016 (arXiv:1511.06464); layout of
/// `copying.py` in github.com/state-spaces/s4.
public struct Copying: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens to remember.
    public var tokens = 10
    /// Blanks in between.
    public var blanks = 100
    /// Symbols, blank and marker.
    public var vocabulary = 10

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("tokens", \.tokens, in: 1...(1 << 20), unit: "tokens", help: "tokens to remember"),
      .integer(
        "blanks", \.blanks, in: 0...(1 << 24), unit: "tokens", help: "blanks that part them from the answer"),
      .integer(
        "vocabulary", \.vocabulary, in: 4...(1 << 20), unit: "tokens", help: "symbols, blank and marker"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "copying", title: "Copying memory",
    paper: "Arjovsky, Shah and Bengio 2016, Unitary evolution recurrent neural networks",
    idea: "the first tokens, a stretch of blanks, then write the tokens again")

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
    let c = configuration
    let word = symbols(c.tokens, vocabulary: c.vocabulary, &generator)
    let blanks = [Int32](repeating: 0, count: c.blanks)
    return Example(
      inputs: word + blanks + [Int32](repeating: Int32(c.vocabulary - 1), count: c.tokens),
      targets: [Int32](repeating: TaskBatch.ignored, count: c.tokens + c.blanks) + word)
  }
}

/// Uniform symbols from [1, vocabulary − 1).
func symbols(_ count: Int, vocabulary: Int, _ generator: inout RandomGenerator) -> [Int32] {
  (0..<count).map { _ in Int32(1 + generator.integer(below: vocabulary - 2)) }
}
