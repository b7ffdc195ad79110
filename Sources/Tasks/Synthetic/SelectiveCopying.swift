import Parameters
import Tensors

/// Selective copying: M tokens scattered among blanks, to be written again in order.
///
/// The first M + L positions hold the tokens w₁ … w_M at random places in order and 0 elsewhere; M markers (V − 1)
/// follow, whose targets are w₁ … w_M. The gaps change from example to example, so a fixed shift does not solve it.
///
/// Source: Jing et al. 2019 (arXiv:1706.02761); Gu and Dao 2023, Mamba (arXiv:2312.00752), with 16 tokens in 4096;
/// layout of `copying.py` (`variable=True`) in github.com/state-spaces/s4.
public struct SelectiveCopying: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens to remember.
    public var tokens = 16
    /// Blanks among them.
    public var blanks = 240
    /// Symbols, blank and marker.
    public var vocabulary = 16

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("tokens", \.tokens, in: 1...(1 << 20), unit: "tokens", help: "tokens to remember"),
      .integer("blanks", \.blanks, in: 0...(1 << 24), unit: "tokens", help: "blanks scattered among them"),
      .integer(
        "vocabulary", \.vocabulary, in: 4...(1 << 20), unit: "tokens", help: "symbols, blank and marker"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "selective-copying", title: "Selective copying",
    paper: "Gu and Dao 2023, Mamba: linear-time sequence modeling with selective state spaces",
    idea: "tokens scattered among blanks, then write them again in order")

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
    for (place, symbol) in zip(distinct(c.tokens, in: 0..<span, &generator).sorted(), word) {
      inputs[place] = symbol
    }
    return Example(
      inputs: inputs + [Int32](repeating: Int32(c.vocabulary - 1), count: c.tokens),
      targets: [Int32](repeating: TaskBatch.ignored, count: span) + word)
  }
}
