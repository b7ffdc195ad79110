import Basics
import Settings
import Tensors

/// Recall from a stream of keys and values that never stops: what a key's value is, from its second time on.
///
/// Pair follows pair: a key drawn uniformly of K, then its value, which the example draws the first time and keeps. With chance
/// `noise` the place of a pair is taken by as many tokens of a vocabulary that says nothing (noisy recall). A key is 1 to `keyTokens`
/// tokens long, a value 1 to `valueTokens` (fuzzy recall), no token twice in one of them, no key the beginning of another. Scored is the value of
/// every key that was told before, token by token. The last pair is always one of them. What is left of the length are
/// fillers at the beginning.
///
/// Tokens: 0 padding and filler, then the tokens of keys, of values, of noise.
///
/// Source: Poli et al. 2024, Mechanistic design and scaling of hybrid architectures (arXiv:2403.17844), `noisy` and `fuzzy`
/// in-context recall of github.com/athms/mad-lab with several queries. It trains on every next token and on keys that begin others,
/// whose answers are then a guess; here a score is given where there is one answer.
public struct StreamRecall: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 128
    /// Tokens of which keys are made, and as many for values.
    public var alphabet = 8
    /// Keys of an example.
    public var keys = 8
    /// The most tokens of a key.
    public var keyTokens = 1
    /// The most tokens of a value.
    public var valueTokens = 1
    /// How often noise takes a pair's place.
    public var noise = 0.2
    /// Tokens of noise.
    public var noiseTokens = 16

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 4...(1 << 24), unit: "tokens", help: "tokens of an example"),
      .integer(
        "alphabet", \.alphabet, in: 1...(1 << 19), unit: "tokens",
        help: "tokens of keys, and as many of values"),
      .integer("keys", \.keys, in: 1...(1 << 16), help: "different keys of an example"),
      .integer(
        "key_tokens", \.keyTokens, in: 1...16, unit: "tokens",
        help: "the most tokens of a key; above 1: fuzzy recall"),
      .integer("value_tokens", \.valueTokens, in: 1...16, unit: "tokens", help: "the most tokens of a value"),
      .real("noise", \.noise, in: 0...0.99, help: "how often noise takes the place of a pair"),
      .integer(
        "noise_tokens", \.noiseTokens, in: 1...(1 << 16), unit: "tokens", help: "tokens that say nothing"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "stream-recall", title: "Noisy and fuzzy recall",
    paper: "Poli et al. 2024, Mechanistic design and scaling of hybrid architectures",
    idea:
      "a stream of keys and values, with noise between or several tokens each: the value of a key that came before"
  )

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  /// - Throws: `ConfigurationError` when tokens or places are too few.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration, pair = c.keyTokens + c.valueTokens
    guard c.length >= 2 * pair else {
      throw ConfigurationError(
        field: "length", value: "\(c.length)", allowed: "at least \(2 * pair) tokens: the longest pair twice")
    }
    guard c.alphabet >= max(c.keyTokens, c.valueTokens) else {
      throw ConfigurationError(
        field: "alphabet", value: "\(c.alphabet)",
        allowed: "at least \(max(c.keyTokens, c.valueTokens)) for keys and values without a token twice")
    }
    // Keys of one length are never beginnings of others; one token each is the tightest.
    guard c.keyTokens > 1 || c.keys <= c.alphabet else {
      throw ConfigurationError(field: "keys", value: "\(c.keys)", allowed: "at most alphabet = \(c.alphabet)")
    }
    self.configuration = c
    self.key = key
  }

  /// A value from its key's second time on.
  public var kind: TaskKind { .languageModel }
  /// Padding, tokens of keys, of values, of noise.
  public var vocabularySize: Int { 1 + 2 * configuration.alphabet + configuration.noiseTokens }
  /// Tokens of an example.
  public var length: Int { configuration.length }

  /// The keys of an example, none the beginning of another.
  /// - Throws: `ConfigurationError` when the alphabet has not enough of them.
  private func drawKeys(_ generator: inout RandomGenerator) throws(ConfigurationError) -> [[Int32]] {
    let c = configuration
    var keys: [[Int32]] = []
    for _ in 0..<64 * c.keys where keys.count < c.keys {
      let count = 1 + generator.integer(below: c.keyTokens)
      let drawn = distinct(count, in: 1..<1 + c.alphabet, &generator).map(Int32.init)
      if !keys.contains(where: { $0.starts(with: drawn) || drawn.starts(with: $0) }) { keys.append(drawn) }
    }
    guard keys.count == c.keys else {
      throw ConfigurationError(
        field: "keys", value: "\(c.keys)",
        allowed: "fewer keys, or a larger alphabet: \(c.alphabet) tokens have too few that begin no other")
    }
    return keys
  }

  /// Draws one example.
  /// - Parameter generator: where the draws come from.
  /// - Returns: the example.
  /// - Throws: `ConfigurationError` when the alphabet is too small for the keys.
  /// - Complexity: O(length + keys²).
  public func example(_ generator: inout RandomGenerator) throws(ConfigurationError) -> Example {
    let c = configuration, firstValue = 1 + c.alphabet, firstNoise = firstValue + c.alphabet
    let keys = try drawKeys(&generator)
    var values = [[Int32]?](repeating: nil, count: keys.count)
    var tokens: [Int32] = [], answers: [Int32] = [], told: [Int] = []
    func append(_ number: Int) {
      guard let value = values[number] else { return }
      tokens += keys[number] + value
      let isAnswer = told.contains(number)
      answers += keys[number].map { _ in TaskBatch.ignored }
      answers += value.map { isAnswer ? $0 : TaskBatch.ignored }
      if !isAnswer { told.append(number) }
    }
    let longest = c.keyTokens + c.valueTokens
    // A row of n inputs has n + 1 tokens, of which the last is only answered. Room is left for the last pair.
    while tokens.count + 2 * longest <= c.length + 1 {
      if !told.isEmpty, generator.uniform() < c.noise {
        let count = 2 + generator.integer(below: longest - 1)
        tokens += (0..<count).map { _ in Int32(firstNoise + generator.integer(below: c.noiseTokens)) }
        answers += [Int32](repeating: TaskBatch.ignored, count: count)
        continue
      }
      let number = generator.integer(below: keys.count)
      if values[number] == nil {
        let count = 1 + generator.integer(below: c.valueTokens)
        values[number] = distinct(count, in: firstValue..<firstNoise, &generator).map(Int32.init)
      }
      append(number)
    }
    append(told[generator.integer(below: told.count)])
    let left = c.length + 1 - tokens.count
    let inputs = [Int32](repeating: 0, count: left) + tokens.dropLast()
    let targets = [Int32](repeating: TaskBatch.ignored, count: left) + answers.dropFirst()
    return Example(inputs: inputs, targets: targets)
  }
}
