import Basics
import RealModule
import Settings
import Tensors

/// Text of known entropy rate: what no model can beat is known to all digits, so a fitted irreducible loss can be
/// checked against the truth.
///
/// x_t is drawn from P(· | x_{t−s}, x_{t−2s}, …, x_{t−ks}): `stride` s interleaved, independent, stationary copies of
/// one `MarkovChain` of order k. The entropy rate is the chain's, whatever s; a larger s moves the evidence further
/// away, so a window shorter than k·s cannot reach it. Targets whose evidence lies before the example are not scored,
/// so that the least possible mean loss is exactly the entropy rate. All splits share the chain, none a sample.
public struct KnownEntropySource: SequenceTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 128
    /// Symbols.
    public var vocabulary = 64
    /// Tokens that a token depends on.
    public var order = 2
    /// Successors that a context prefers.
    public var branching = 4
    /// The distance between tokens that depend on each other.
    public var stride = 1
    /// The share of symbols drawn without regard to context.
    public var smoothing = 0.05
    /// The exponent of the popularity of symbols.
    public var zipf = 1.0

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 1...(1 << 24), unit: "tokens", help: "tokens of an example"),
      .integer("vocabulary", \.vocabulary, in: 2...4096, unit: "tokens", help: "symbols"),
      .integer("order", \.order, in: 1...12, unit: "tokens", help: "earlier tokens that a token depends on"),
      .integer("branching", \.branching, in: 1...4096, help: "successors that a context prefers"),
      .integer(
        "stride", \.stride, in: 1...(1 << 20), unit: "tokens", help: "distance between dependent tokens"),
      .real("smoothing", \.smoothing, in: 0.01...1, help: "share of tokens drawn without regard to context"),
      .real("zipf", \.zipf, in: 0...4, help: "exponent of the popularity of symbols; 0 is uniform"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "markov", title: "Source of known entropy rate",
    paper: "Shannon 1948, A mathematical theory of communication",
    idea: "a random sparse Markov chain whose entropy rate, the least possible loss, is known exactly")

  /// The configuration in force.
  public let configuration: Configuration
  /// The chain.
  public let chain: MarkovChain
  private let key: RandomKey

  /// Draws the chain and solves it.
  /// - Throws: `ConfigurationError` when the table is too large or the length too short to score a token.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration
    guard c.length >= c.order * c.stride else {
      throw ConfigurationError(
        field: "length", value: "\(c.length)",
        allowed: "at least order * stride = \(c.order * c.stride) tokens")
    }
    self.configuration = c
    self.key = key
    chain = try MarkovChain(
      symbolCount: c.vocabulary, order: c.order, branching: c.branching, smoothing: c.smoothing, zipf: c.zipf,
      key: key)
  }

  /// The next token.
  public var kind: TaskKind { .languageModel }
  /// Symbols.
  public var vocabularySize: Int { configuration.vocabulary }
  /// Tokens of an example.
  public var length: Int { configuration.length }
  /// The chain's, in nats a token.
  public var entropyRate: Double? { chain.entropyRate }
  /// A sample of a law is none, though its first tokens are not scored.
  public func hasAnswers() -> Bool { false }

  /// Rows are drawn from `key(split)(row)`.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    precondition(index >= 0 && batchSize >= 1, "batch \(index) of \(batchSize) rows")
    let splitKey = key(split.rawValue)
    return TaskBatch((0..<batchSize).map { example(splitKey(index * batchSize + $0)) }, of: self)
  }

  private func example(_ key: RandomKey) -> Example {
    let stride = configuration.stride, unknown = configuration.order * stride
    var generator = key.generator()
    var contexts = (0..<min(stride, length + 1)).map { _ in chain.startingContext(&generator) }
    let tokens = (0...length).map { position in
      let lane = position % stride
      let symbol = chain.nextSymbol(after: contexts[lane], &generator)
      contexts[lane] = chain.context(contexts[lane], appending: symbol)
      return Int32(symbol)
    }
    let targets = (0..<length).map { $0 + 1 < unknown ? TaskBatch.ignored : tokens[$0 + 1] }
    return Example(inputs: Array(tokens.dropLast()), targets: targets)
  }

  /// The mean loss of the true law on a batch, in nats a scored token: its expectation is the entropy rate.
  /// - Precondition: the batch is one of this task's.
  public func optimalLoss(on batch: TaskBatch) -> Double? {
    let stride = configuration.stride
    var sum = 0.0
    for row in 0..<batch.batchSize {
      for position in 0..<batch.length {
        let target = batch.targets[row * batch.length + position]
        guard target != TaskBatch.ignored else { continue }
        var context = 0
        for back in (1...configuration.order).reversed() {
          context = chain.context(
            context, appending: Int(batch.inputs[row * batch.length + position + 1 - back * stride]))
        }
        sum -= Double.log(chain.probability(of: Int(target), after: context))
      }
    }
    return sum / Double(batch.scoredCount)
  }
}
