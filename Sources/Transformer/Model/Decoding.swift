import AttentionCore
import Tensors

/// A sequence being generated: the caches of all layers and the position of the next token.
struct Decoding {
  private let model: TransformerModel
  private let decoder: Stack
  private let memory: Tensor?
  private var caches: [Int: KeyValueCache] = [:]
  /// Keys and values as global rows see them, for as long as one is still to come.
  private var globals: [Int: KeyValueCache] = [:]
  private var crossed: [Int: (key: Tensor, value: Tensor)] = [:]
  private var position = 0

  init(_ model: TransformerModel, decoder: Stack, source: [Int32]) throws {
    self.model = model
    self.decoder = decoder
    for (index, sublayer) in decoder.sublayers.enumerated() {
      guard case .attention(let layer) = sublayer.function, !layer.isCross else { continue }
      let attention = layer.attention
      let unseen = try model.catalog.unseenKeys(attention.id, settings: attention.settings)
      caches[index] = KeyValueCache(unseen: unseen)
    }
    let pass = model.pass(training: false)
    if let sourceEmbedding = model.sourceEmbedding, let encoder = model.encoder {
      let (x, _) = try sourceEmbedding.forward(source, batch: 1, pass)
      memory = try encoder.forward(x, batch: 1, lengths: nil, pass).0
    } else {
      memory = nil
    }
  }

  var cacheBytes: Int { (Array(caches.values) + Array(globals.values)).reduce(0) { $0 + $1.bytes } }

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
    let rotary = try layer.rotary(first: position, count: x.shape[0], pass)
    let projected = try layer.input.forward(x, pass)
    let query = try layer.query(projected, batch: 1, rotary: rotary, first: position, pass)
    let (key, value) = try layer.keyValue(
      projected, column: layer.heads * layer.dim, batch: 1, rotary: rotary, first: position, pass)
    // Taken out, so that nobody else holds the rows while they grow.
    var cache = caches.removeValue(forKey: index) ?? KeyValueCache()
    try cache.append(key: key, value: value, pass.compute)
    defer { caches[index] = cache }
    let output = try attend(layer, x, index, query: query, cache, pass)
    try cache.trim()
    return output
  }

  private mutating func attend(
    _ layer: AttentionLayer, _ x: Tensor, _ index: Int, query: Tensor, _ cache: KeyValueCache, _ pass: Pass
  ) throws -> Tensor {
    guard let keys = cache.key, let values = cache.value else { preconditionFailure("an empty cache") }
    let rows = x.shape[0]
    let plan = try plan(layer, queries: rows, keys: keys.shape[2], pass)
    var inputs = QKV(query: query, key: keys, value: values)
    inputs.global = try second(layer, x, index, plan, pass)
    return try run(layer, plan, inputs, pass)
  }

  /// What the global rows among new ones read: their own q, and k and v of all rows up to the last of them.
  ///
  /// Global keys and values are kept while a later row can be global, so that it finds those of all earlier rows; they
  /// are dropped after the last.
  private mutating func second(
    _ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ plan: AnyAttention, _ pass: Pass
  ) throws -> QKV.Projections? {
    guard let global = layer.global, position <= global.lastPosition else { return nil }
    let compute = pass.compute, rows = x.shape[0]
    let read = min(rows, global.lastPosition + 1 - position)
    let rotary = try layer.rotary(first: position, count: rows, pass)
    let source = try global.keyValue.forward(x.narrowed(axis: 0, to: 0..<read), pass)
    let (key, value) = try layer.keyValue(source, batch: 1, rotary: rotary, first: position, pass)
    var cache = globals.removeValue(forKey: index) ?? KeyValueCache()
    try cache.append(key: key, value: value, compute)
    globals[index] = position + rows > global.lastPosition ? nil : cache
    let places = plan.globalRows.map { Int32($0) }
    guard !places.isEmpty, let keys = cache.key, let values = cache.value else { return nil }
    let queries = try global.query.forward(compute.lookUp(places, in: x), pass)
    return QKV.Projections(
      query: try layer.query(
        compute.spread(queries, at: places, of: rows), batch: 1, rotary: rotary, first: position, pass),
      key: try lengthened(keys, to: plan.shape.keyLength, compute),
      value: try lengthened(values, to: plan.shape.keyLength, compute))
  }

  /// Rows of zeros behind those that a global row sees.
  private func lengthened(_ x: Tensor, to rows: Int, _ compute: Compute) throws -> Tensor {
    guard x.shape[2] < rows else { return x }
    var buffer = try RowBuffer(x, ledger: compute.ledger)
    try buffer.append(compute.zeros([x.shape[0], x.shape[1], rows - x.shape[2], x.shape[3]]))
    return buffer.rows
  }

  private mutating func cross(_ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ pass: Pass) throws
    -> Tensor
  {
    guard let memory, let memoryInput = layer.memoryInput else {
      preconditionFailure("cross-attention needs a memory")
    }
    if crossed[index] == nil {
      crossed[index] = try layer.keyValue(memoryInput.forward(memory, pass), batch: 1, rotary: nil, pass)
    }
    guard let (key, value) = crossed[index] else { preconditionFailure("the memory was not projected") }
    let query = try layer.query(layer.input.forward(x, pass), batch: 1, rotary: nil, pass)
    let plan = try plan(layer, queries: query.shape[2], keys: key.shape[2], pass)
    return try run(layer, plan, QKV(query: query, key: key, value: value), pass)
  }

  private func plan(_ layer: AttentionLayer, queries: Int, keys: Int, _ pass: Pass) throws -> AnyAttention {
    let shape = try layer.shape(batch: 1, queries: queries, keys: keys, keyLengths: nil)
    return try pass.planner.plan(layer.attention, layer: layer.name, shape: shape)
  }

  private func run(
    _ layer: AttentionLayer, _ plan: AnyAttention, _ inputs: QKV, _ pass: Pass
  ) throws -> Tensor {
    let output = try plan.forward(inputs, in: pass.execution).output
    var merged = try pass.compute.empty([plan.shape.queryLength, layer.heads * layer.dim])
    pass.compute.mergeHeads(output, into: &merged)
    return try layer.output.forward(merged, pass)
  }
}
