import AttentionCore
import Tensors

/// A sequence being generated: the caches of all layers and the position of the next token.
struct Decoding {
  private let model: TransformerModel
  private let decoder: Stack
  private let memory: Tensor?
  private var caches: [Int: KeyValueCache] = [:]
  /// Rows of the operands of variants' own, for as long as a row that reads them is still to come.
  private var own: [Int: [Operand.Name: RowBuffer]] = [:]
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

  var cacheBytes: Int {
    caches.values.reduce(0) { $0 + $1.bytes }
      + own.values.reduce(0) { $1.values.reduce($0) { $0 + $1.byteCount } }
  }

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
    let dropped = try cache.trim()
    if let dropped { try trimOwn(of: layer, index, dropped) }
    return output
  }

  private mutating func attend(
    _ layer: AttentionLayer, _ x: Tensor, _ index: Int, query: Tensor, _ cache: KeyValueCache, _ run: LayerRun
  ) throws -> Tensor {
    guard let keys = cache.key, let values = cache.value else { preconditionFailure("an empty cache") }
    let rows = x.shape[0]
    let plan = try plan(layer, queries: rows, keys: keys.shape[2], run)
    var inputs = Operands(query: query, key: keys, value: values)
    for (operand, slot) in layer.learned { inputs[operand.name] = run.weight(slot) }
    for group in layer.projected {
      if group.isOfQueries {
        try addQueries(group, of: layer, x, plan, to: &inputs, run)
      } else {
        try addKeys(group, of: layer, x, index, plan, to: &inputs, run)
      }
    }
    return try attended(layer, plan, inputs, run)
  }

  /// Operands of a variant's own that have rows of q, of the new rows that read them.
  private func addQueries(
    _ group: ProjectedOperands, of layer: AttentionLayer, _ x: Tensor, _ plan: any AttentionVariant,
    to inputs: inout Operands, _ run: LayerRun
  ) throws {
    let rows = group.rows(of: plan)
    guard rows?.isEmpty != true else { return }
    let rotary = try layer.rotary(first: position, count: x.shape[0], run)
    let (product, _) = try group.product(x, rows: rows, run)
    for part in group.parts {
      inputs[part.operand.name] = try group.operand(
        part, of: product, layer: layer, batch: 1, rotary: rotary, first: position, run)
    }
  }

  /// Operands of a variant's own that have rows of k and v: the new ones behind those of earlier rows.
  ///
  /// They are kept while a later row can read them, so that it finds those of all earlier rows, and dropped after the last.
  private mutating func addKeys(
    _ group: ProjectedOperands, of layer: AttentionLayer, _ x: Tensor, _ index: Int,
    _ plan: any AttentionVariant, to inputs: inout Operands, _ run: LayerRun
  ) throws {
    let context = run.context, rows = x.shape[0]
    let readers = group.parts.map { layer.lastReader($0.operand.name) }
    let last = readers.contains(nil) ? Int.max - 1 : readers.compactMap(\.self).max() ?? Int.max - 1
    guard position <= last else { return }
    let read = min(rows, last + 1 - position)
    let rotary = try layer.rotary(first: position, count: rows, run)
    let (product, _) = try group.product(x.narrowed(axis: 0, to: 0..<read), rows: nil, run)
    let isRead = group.rows(of: plan)?.isEmpty != true
    for part in group.parts {
      let name = part.operand.name
      let new = try group.operand(
        part, of: product, layer: layer, batch: 1, rotary: rotary, first: position, run)
      let four = new.rank == 4 ? new : new.reshaped([1, 1] + new.shape.dropFirst())
      // Taken out, so that nobody else holds the rows while they grow.
      var buffer = own[index]?.removeValue(forKey: name)
      if buffer == nil {
        buffer = try RowBuffer(four, ledger: context.ledger)
      } else {
        try buffer?.append(four)
      }
      guard let buffer else { continue }
      if isRead {
        let whole = try lengthened(buffer.rows, to: plan.shape.keyLength, context)
        inputs[name] = new.rank == 4 ? whole : whole.reshaped([1] + whole.shape.dropFirst(2))
      }
      if position + rows <= last { own[index, default: [:]][name] = buffer }
    }
  }

  /// Drops rows of those operands that go with the keys for good.
  private mutating func trimOwn(of layer: AttentionLayer, _ index: Int, _ dropped: Range<Int>) throws {
    // The names alone: who holds the buffers makes them be copied.
    for name in Array((own[index] ?? [:]).keys) where layer.lastReader(name) == nil {
      var buffer = own[index]?.removeValue(forKey: name)
      try buffer?.remove(dropped)
      own[index]?[name] = buffer
    }
  }

  /// Rows of zeros behind those that a row sees.
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
    return try attended(layer, plan, Operands(query: query, key: key, value: value), run)
  }

  private func plan(_ layer: AttentionLayer, queries: Int, keys: Int, _ run: LayerRun) throws
    -> any AttentionVariant
  {
    let shape = try layer.shape(batch: 1, queries: queries, keys: keys, keyLengths: nil)
    return try run.planner.plan(layer.attention, layer: layer.name, shape: shape)
  }

  private func attended(
    _ layer: AttentionLayer, _ plan: any AttentionVariant, _ inputs: Operands, _ run: LayerRun
  ) throws -> Tensor {
    let output = try plan.attend(inputs, in: run.context).output
    var merged = try run.context.empty([plan.shape.queryLength, layer.heads * layer.dim])
    run.context.mergeHeads(output, into: &merged)
    return try layer.output.forward(merged, run)
  }
}
