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
    let run = model.layerRun(training: false)
    if let sourceEmbedding = model.sourceEmbedding, let encoder = model.encoder {
      let (x, _) = try sourceEmbedding.forward(source, batch: 1, run)
      memory = try encoder.forward(x, batch: 1, lengths: nil, run).0
    } else {
      memory = nil
    }
  }

  var cacheBytes: Int { (Array(caches.values) + Array(globals.values)).reduce(0) { $0 + $1.bytes } }

  /// Reads tokens and returns the logits after the last.
  mutating func advance(_ tokens: [Int32]) throws -> [Float] {
    let run = model.layerRun(training: false)
    var x = try model.embedding.forward(tokens, batch: 1, first: position, run).0
    for (index, sublayer) in decoder.sublayers.enumerated() {
      let entry = sublayer.placement == .pre ? try sublayer.norm.forward(x, run).0 : x
      let y =
        switch sublayer.function {
        case .feedForward(let layer): try layer.forward(entry, run).0
        case .attention(let layer):
          layer.isCross ? try cross(layer, entry, index, run) : try attend(layer, entry, index, run)
        }
      x = try run.context.add(x, y)
      if sublayer.placement == .post { x = try sublayer.norm.forward(x, run).0 }
    }
    if let final = decoder.final { x = try final.forward(x, run).0 }
    position += tokens.count
    guard let weight = model.outputWeight else { preconditionFailure("a decoder has an output") }
    let last = x.narrowed(axis: 0, to: tokens.count - 1..<tokens.count)
    return try run.context.matmul(last, .plain, run.weight(weight), .transposed).array()
  }

  private mutating func attend(_ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ run: LayerRun) throws
    -> Tensor
  {
    let rotary = try layer.rotary(first: position, count: x.shape[0], run)
    let projected = try layer.input.forward(x, run)
    let query = try layer.query(projected, batch: 1, rotary: rotary, first: position, run)
    let (key, value) = try layer.keyValue(
      projected, column: layer.heads * layer.dim, batch: 1, rotary: rotary, first: position, run)
    // Taken out, so that nobody else holds the rows while they grow.
    var cache = caches.removeValue(forKey: index) ?? KeyValueCache()
    try cache.append(key: key, value: value, run.context)
    defer { caches[index] = cache }
    let output = try attend(layer, x, index, query: query, cache, run)
    try cache.trim()
    return output
  }

  private mutating func attend(
    _ layer: AttentionLayer, _ x: Tensor, _ index: Int, query: Tensor, _ cache: KeyValueCache, _ run: LayerRun
  ) throws -> Tensor {
    guard let keys = cache.key, let values = cache.value else { preconditionFailure("an empty cache") }
    let rows = x.shape[0]
    let plan = try plan(layer, queries: rows, keys: keys.shape[2], run)
    var inputs = QKV(query: query, key: keys, value: values)
    inputs.global = try second(layer, x, index, plan, run)
    return try attended(layer, plan, inputs, run)
  }

  /// What the global rows among new ones read: their own q, and k and v of all rows up to the last of them.
  ///
  /// Global keys and values are kept while a later row can be global, so that it finds those of all earlier rows; they
  /// are dropped after the last.
  private mutating func second(
    _ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ plan: AnyAttention, _ run: LayerRun
  ) throws -> QKV.Projections? {
    guard let global = layer.global, position <= global.lastPosition else { return nil }
    let context = run.context, rows = x.shape[0]
    let read = min(rows, global.lastPosition + 1 - position)
    let rotary = try layer.rotary(first: position, count: rows, run)
    let source = try global.keyValue.forward(x.narrowed(axis: 0, to: 0..<read), run)
    let (key, value) = try layer.keyValue(source, batch: 1, rotary: rotary, first: position, run)
    var cache = globals.removeValue(forKey: index) ?? KeyValueCache()
    try cache.append(key: key, value: value, context)
    globals[index] = position + rows > global.lastPosition ? nil : cache
    let places = plan.globalRows.map { Int32($0) }
    guard !places.isEmpty, let keys = cache.key, let values = cache.value else { return nil }
    let queries = try global.query.forward(context.lookUp(places, in: x), run)
    return QKV.Projections(
      query: try layer.query(
        context.spread(queries, at: places, of: rows), batch: 1, rotary: rotary, first: position, run),
      key: try lengthened(keys, to: plan.shape.keyLength, context),
      value: try lengthened(values, to: plan.shape.keyLength, context))
  }

  /// Rows of zeros behind those that a global row sees.
  private func lengthened(_ x: Tensor, to rows: Int, _ context: ExecutionContext) throws -> Tensor {
    guard x.shape[2] < rows else { return x }
    var buffer = try RowBuffer(x, ledger: context.ledger)
    try buffer.append(context.zeros([x.shape[0], x.shape[1], rows - x.shape[2], x.shape[3]]))
    return buffer.rows
  }

  private mutating func cross(_ layer: AttentionLayer, _ x: Tensor, _ index: Int, _ run: LayerRun) throws
    -> Tensor
  {
    guard let memory, let memoryInput = layer.memoryInput else {
      preconditionFailure("cross-attention needs a memory")
    }
    if crossed[index] == nil {
      crossed[index] = try layer.keyValue(memoryInput.forward(memory, run), batch: 1, rotary: nil, run)
    }
    guard let (key, value) = crossed[index] else { preconditionFailure("the memory was not projected") }
    let query = try layer.query(layer.input.forward(x, run), batch: 1, rotary: nil, run)
    let plan = try plan(layer, queries: query.shape[2], keys: key.shape[2], run)
    return try attended(layer, plan, QKV(query: query, key: key, value: value), run)
  }

  private func plan(_ layer: AttentionLayer, queries: Int, keys: Int, _ run: LayerRun) throws -> AnyAttention
  {
    let shape = try layer.shape(batch: 1, queries: queries, keys: keys, keyLengths: nil)
    return try run.planner.plan(layer.attention, layer: layer.name, shape: shape)
  }

  private func attended(
    _ layer: AttentionLayer, _ plan: AnyAttention, _ inputs: QKV, _ run: LayerRun
  ) throws -> Tensor {
    let output = try plan.forward(inputs, in: run.context).output
    var merged = try run.context.empty([plan.shape.queryLength, layer.heads * layer.dim])
    run.context.mergeHeads(output, into: &merged)
    return try layer.output.forward(merged, run)
  }
}
