import AttentionCore
import Basics
import Layers
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
  ///   - useCache: `false` computes every token from the whole sequence, or, with a memory of segments, keys and values
  ///     from the rows that the layers keep.
  ///   - memory: earlier positions that every layer sees, which may be more than in training; the prompt is then read in
  ///     segments of `maximumLength`. `nil`: as many as the model says, all in a model without a memory.
  ///   - task: the auxiliary task whose head chooses; `nil`: the main task's does.
  /// - Throws: `ConfigurationError` for tokens outside the vocabulary, or a memory that the model cannot have; what attention
  ///   throws.
  public func generate(
    prompt: [Int32], count: Int, source: [Int32] = [], sampling: Sampling = Sampling(), stop: Int32? = nil,
    useCache: Bool = true, memory: Int? = nil, task: String? = nil
  ) throws -> Generation {
    let head = try configuration.head(of: task)
    guard let decoder, head.classes == 0 else {
      throw ConfigurationError(
        field: "kind", value: configuration.kind.rawValue,
        allowed: "a decoder or an encoder-decoder to generate")
    }
    try ModelInput(batch: 1, tokens: prompt, source: source).validate(for: configuration)
    // The last new token is not read, so it takes no row of the table.
    let most = configuration.maximumLength - prompt.count + 1
    if configuration.position == .learned, configuration.stored == 0, count > most {
      throw ConfigurationError(
        field: "count", value: "\(count)", allowed: "at most \(most) after a prompt of \(prompt.count)")
    }
    let state = try decoding(decoder, source: source, useCache: useCache, memory: memory)
    var result = Generation(
      tokens: [], cacheBytes: 0, peakCacheBytes: 0, usedCache: state?.keepsKeysAndValues ?? false)
    for step in 0..<count {
      let logits =
        try state?.advance(step == 0 ? prompt : Array(result.tokens.suffix(1)), for: task)
        ?? lastLogits(prompt + result.tokens, source: source, task)
      let next = Int32(sampling.choose(logits, step: step))
      result.cacheBytes = state?.stateBytes ?? 0
      result.peakCacheBytes = max(result.peakCacheBytes, result.cacheBytes)
      if next == stop { break }
      result.tokens.append(next)
    }
    return result
  }

  /// What a sequence is generated with; `nil`: every token is computed from the whole.
  private func decoding(_ decoder: Stack, source: [Int32], useCache: Bool, memory: Int?) throws -> Decoding? {
    let positions = memory ?? configuration.memory
    guard positions > 0 else {
      guard configuration.memory == 0 else {
        throw ConfigurationError(field: "memory", value: "\(positions)", allowed: "1 or more to generate")
      }
      guard useCache || configuration.stored > 0 else { return nil }
      return try Decoding(self, decoder: decoder, source: source, useCache: useCache)
    }
    try configuration.checkMemory(of: positions, in: catalog)
    // Rows of zeros have keys and values of their own, which no state holds.
    let keepsRows = !useCache || configuration.emptyMemory == .zeros
    guard configuration.stored == 0 || !keepsRows else {
      throw ConfigurationError(
        field: "stored", value: "\(configuration.stored)",
        allowed: "0 to generate from the rows of a memory; with keys and values in a cache any")
    }
    return try Decoding(self, decoder: decoder, source: source, positions: positions, useCache: !keepsRows)
  }

  private func lastLogits(_ tokens: [Int32], source: [Int32], _ task: String?) throws -> [Float] {
    var input = ModelInput(batch: 1, tokens: tokens, source: source)
    input.task = task
    return Array(try logits(input).array().suffix(head(of: task).outputs))
  }
}
