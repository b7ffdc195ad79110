import Basics
import Settings
import Tensors

/// Induction heads: what followed the trigger when it last occurred?
///
/// L − 1 uniform tokens of [0, V − 1) and the trigger V − 1 at the end; the trigger also stands at one random place
/// p < L − 3, and the single target, at the last position, is the token at p + 1.
///
/// Source: Olsson et al. 2022 (arXiv:2209.11895); Gu and Dao 2023, Mamba (arXiv:2312.00752), with L = 256 and V = 16;
/// layout of `generate_induction_head` in github.com/HazyResearch/safari, whose training scores every position.
public struct InductionHeads: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 256
    /// Symbols and the trigger.
    public var vocabulary = 16

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 4...(1 << 24), unit: "tokens", help: "tokens of an example"),
      .integer(
        "vocabulary", \.vocabulary, in: 3...(1 << 20), unit: "tokens", help: "symbols and the trigger"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "induction", title: "Induction heads",
    paper: "Olsson et al. 2022, In-context learning and induction heads",
    idea: "the token after the trigger's earlier occurrence; solved by two attention layers that compose")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  public init(_ configuration: Configuration, key: RandomKey) {
    self.configuration = configuration
    self.key = key
  }

  /// One token, at the end.
  public var kind: TaskKind { .languageModel }
  /// Symbols and the trigger.
  public var vocabularySize: Int { configuration.vocabulary }
  /// Tokens of an example.
  public var length: Int { configuration.length }

  /// Draws one example.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, trigger = Int32(c.vocabulary - 1)
    var inputs = (0..<c.length - 1).map { _ in Int32(generator.integer(below: c.vocabulary - 1)) } + [trigger]
    let place = generator.integer(below: c.length - 3)
    inputs[place] = trigger
    return Example(
      inputs: inputs,
      targets: [Int32](repeating: TaskBatch.ignored, count: c.length - 1) + [inputs[place + 1]])
  }
}
