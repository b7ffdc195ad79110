import AttentionCore
import Basics
import RealModule
import Settings
import Tensors

/// How the next token is chosen.
public struct Sampling: Hashable, Sendable {
  /// Divides the logits; 0: the largest always (greedy).
  public var temperature: Double
  /// Only this many of the largest logits can be chosen; 0: all.
  public var topK: Int
  /// Where draws come from.
  public var key: RandomKey

  /// Creates a rule.
  public init(temperature: Double = 0, topK: Int = 0, key: RandomKey = RandomKey(seed: 1)) {
    (self.temperature, self.topK, self.key) = (temperature, topK, key)
  }

  /// The index chosen from logits at a step. - Complexity: O(n log n).
  public func choose(_ logits: [Float], step: Int) -> Int {
    let order = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }
    guard temperature > 0, let best = order.first else { return order.first ?? 0 }
    let allowed = topK > 0 ? Array(order.prefix(topK)) : order
    let weights = allowed.map { Double.exp(Double(logits[$0] - logits[best]) / temperature) }
    var random = key("sample")(step).generator()
    var target = random.uniform() * weights.reduce(0, +)
    for (index, weight) in zip(allowed, weights) {
      target -= weight
      if target < 0 { return index }
    }
    return allowed[allowed.count - 1]
  }
}

/// What was generated.
public struct Generation: Hashable, Sendable {
  /// The new tokens, without the prompt.
  public var tokens: [Int32]
  /// Bytes of keys and values held at the end.
  public var cacheBytes: Int
  /// The most bytes held after any token.
  public var peakCacheBytes: Int
  /// Whether keys and values were kept; `false`: a layer's pattern changes with the length of the sequence, so each token
  /// was computed from the whole.
  public var usedCache: Bool
}

extension TransformerModel {
  /// Continues a prompt token by token.
  /// - Parameters:
  ///   - prompt: tokens of one sequence, at least one.
  ///   - count: the most tokens that are made.
  ///   - source: what the encoder of an encoder–decoder reads.
  ///   - sampling: how a token is chosen.
  ///   - stop: ends the generation when it is chosen; it is not part of the result.
  ///   - useCache: `false` computes every token from the whole sequence.
  /// - Throws: `ConfigurationError` for tokens outside the vocabulary; what attention throws.
  public func generate(
    prompt: [Int32], count: Int, source: [Int32] = [], sampling: Sampling = Sampling(), stop: Int32? = nil,
    useCache: Bool = true
  ) throws -> Generation {
    guard let decoder, configuration.classes == 0 else {
      throw ConfigurationError(
        field: "kind", value: configuration.kind.rawValue,
        allowed: "a decoder or an encoder-decoder to generate")
    }
    try ModelInput(batch: 1, tokens: prompt, source: source).validate(for: configuration)
    // The last new token is not read, so it takes no row of the table.
    let most = configuration.maximumLength - prompt.count + 1
    if configuration.position == .learned, count > most {
      throw ConfigurationError(
        field: "count", value: "\(count)", allowed: "at most \(most) after a prompt of \(prompt.count)")
    }
    let state = useCache ? try Decoding(self, decoder: decoder, source: source) : nil
    var result = Generation(tokens: [], cacheBytes: 0, peakCacheBytes: 0, usedCache: state != nil)
    for step in 0..<count {
      let logits =
        try state?.advance(step == 0 ? prompt : Array(result.tokens.suffix(1)))
        ?? lastLogits(prompt + result.tokens, source: source)
      let next = Int32(sampling.choose(logits, step: step))
      result.cacheBytes = state?.stateBytes ?? 0
      result.peakCacheBytes = max(result.peakCacheBytes, result.cacheBytes)
      if next == stop { break }
      result.tokens.append(next)
    }
    return result
  }

  private func lastLogits(_ tokens: [Int32], source: [Int32]) throws -> [Float] {
    let logits = try logits(ModelInput(batch: 1, tokens: tokens, source: source))
    return Array(logits.array().suffix(configuration.vocabulary))
  }
}
