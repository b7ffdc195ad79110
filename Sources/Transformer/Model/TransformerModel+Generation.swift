import AttentionCore
import Parameters
import RealModule
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

extension Stack {
  /// The attention of the self-attention layers.
  var attention: [LayerAttention] {
    sublayers.compactMap {
      if case .attention(let layer) = $0.function, !layer.isCross { layer.attention } else { nil }
    }
  }
}

extension TransformerModel {
  /// Continues a prompt token by token.
  /// - Parameters:
  ///   - prompt: tokens of one sequence, at least one.
  ///   - source: what the encoder of an encoder–decoder reads.
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
    if configuration.position == .learned, prompt.count + count > configuration.maximumLength {
      throw ConfigurationError(
        field: "count", value: "\(count)",
        allowed: "at most \(configuration.maximumLength - prompt.count) after a prompt of \(prompt.count)")
    }
    let isCached = useCache && decoder.attention.allSatisfy(KeyValueCache.serves)
    var state = isCached ? try Decoding(self, decoder: decoder, source: source) : nil
    var result = Generation(tokens: [], cacheBytes: 0, peakCacheBytes: 0, usedCache: isCached)
    for step in 0..<count {
      let logits =
        try state?.advance(step == 0 ? prompt : Array(result.tokens.suffix(1)))
        ?? lastLogits(prompt + result.tokens, source: source)
      let next = Int32(sampling.choose(logits, step: step))
      result.cacheBytes = state?.cacheBytes ?? 0
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

/// A sequence being generated: the caches of all layers and the position of the next token.
struct Decoding {
  private let model: TransformerModel
  private let decoder: Stack
  private let memory: Tensor?
  private var caches: [Int: KeyValueCache] = [:]
  private var crossed: [Int: (key: Tensor, value: Tensor)] = [:]
  private var position = 0

  init(_ model: TransformerModel, decoder: Stack, source: [Int32]) throws {
    self.model = model
    self.decoder = decoder
    let pass = model.pass(training: false)
    if let sourceEmbedding = model.sourceEmbedding, let encoder = model.encoder {
      let (x, _) = try sourceEmbedding.forward(source, batch: 1, pass)
      memory = try encoder.forward(x, batch: 1, lengths: nil, pass).0
    } else {
      memory = nil
    }
  }

  var cacheBytes: Int { caches.values.reduce(0) { $0 + $1.bytes } }

  /// Reads tokens and returns the logits after the last.
  mutating func advance(_ tokens: [Int32]) throws -> [Float] {
    let pass = model.pass(training: false)
    var x = try model.embedding.forward(tokens, batch: 1, first: position, pass).0
    for (index, sublayer) in decoder.sublayers.enumerated() {
      let entry = sublayer.placement == .pre ? try sublayer.norm.forward(x, pass).0 : x
      let y =
        switch sublayer.function {
        case .feedForward(let layer): try layer.forward(entry, pass).0
        case .attention(let layer):
          layer.isCross ? try cross(layer, entry, index, pass) : try attend(layer, entry, index, pass)
        }
      x = try pass.compute.add(x, y)
      if sublayer.placement == .post { x = try sublayer.norm.forward(x, pass).0 }
    }
    if let final = decoder.final { x = try final.forward(x, pass).0 }
    position += tokens.count
    guard let weight = model.outputWeight else { preconditionFailure("a decoder has an output") }
    let last = x.narrowed(axis: 0, to: tokens.count - 1..<tokens.count)
    return try pass.compute.matmul(last, .plain, pass.weight(weight), .transposed).array()
  }

  private mutating func attend(_ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ pass: Pass) throws
    -> Tensor
  {
    let compute = pass.compute, rows = x.shape[0]
    let rotary = try layer.rotary(first: position, count: rows, pass)
    let projected = try layer.input.forward(x, pass)
    let column = layer.heads * layer.dim
    let query = try compute.splitHeads(
      projected, batch: 1, heads: layer.heads, dim: layer.dim, rotary: rotary)
    let key = try compute.splitHeads(
      projected, column: column, batch: 1, heads: layer.keyHeads, dim: layer.dim, rotary: rotary)
    let value = try compute.splitHeads(
      projected, column: column + layer.keyHeads * layer.dim, batch: 1, heads: layer.keyHeads, dim: layer.dim)
    var cache = caches[index] ?? KeyValueCache(layer.attention)
    try cache.append(
      key: layer.extended(key, isQuery: false, first: position, pass), value: value, compute)
    guard let keys = cache.key, let values = cache.value else { preconditionFailure("an empty cache") }
    let output = try run(
      layer, query: layer.extended(query, isQuery: true, first: position, pass), key: keys, value: values,
      pass)
    try cache.trim(compute)
    caches[index] = cache
    return output
  }

  private mutating func cross(_ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ pass: Pass) throws
    -> Tensor
  {
    let compute = pass.compute
    guard let memory, let memoryInput = layer.memoryInput else {
      preconditionFailure("cross-attention needs a memory")
    }
    if crossed[index] == nil {
      let source = try memoryInput.forward(memory, pass)
      crossed[index] = (
        try compute.splitHeads(source, batch: 1, heads: layer.keyHeads, dim: layer.dim),
        try compute.splitHeads(
          source, column: layer.keyHeads * layer.dim, batch: 1, heads: layer.keyHeads, dim: layer.dim)
      )
    }
    guard let (key, value) = crossed[index] else { preconditionFailure("the memory was not projected") }
    let query = try compute.splitHeads(
      layer.input.forward(x, pass), batch: 1, heads: layer.heads, dim: layer.dim)
    return try run(layer, query: query, key: key, value: value, pass)
  }

  private func run(
    _ layer: AttentionLayer, query: Tensor, key: Tensor, value: Tensor, _ pass: Pass
  ) throws -> Tensor {
    let shape = try layer.shape(batch: 1, queries: query.shape[2], keys: key.shape[2], keyLengths: nil)
    let plan = try pass.planner.plan(layer.attention, layer: layer.name, shape: shape)
    let output = try plan.forward(QKV(query: query, key: key, value: value), in: pass.execution).output
    var merged = try pass.compute.empty([query.shape[2], layer.heads * layer.dim])
    pass.compute.mergeHeads(output, into: &merged)
    return try layer.output.forward(merged, pass)
  }
}
