import AttentionCore
import Layers
import Tensors

extension TransformerModel {
  /// Floating-point operations of a training step's passes on an input: forward, and twice that backward for linear
  /// layers; attention by its variants' closed forms. What makes operands of a variant's own counts on the rows that are
  /// read. Norms, activations and the optimiser are not counted.
  /// - Throws: `ConfigurationError` when a layer cannot be planned at this shape.
  public func trainingOperations(_ input: ModelInput) throws -> Double {
    let head = head(of: input.task)
    let labelled =
      head.classifier == nil ? input.targets.count { $0 >= 0 } * head.outputs * configuration.width : 0
    let linear = work(input).reduce(0) { $0 + $1.linearOperations }
    var forward = linear + 2 * Double(labelled), backward = 2 * forward
    for (layer, plan) in try attentionPlans(input) {
      let own = layer?.projected.reduce(0) { $0 + $1.operations(plan) } ?? 0
      forward += own + plan.cost(of: .forward).flops
      backward += 2 * own + plan.cost(of: .backward).flops
    }
    // A probe reads every image once more, and has no way back to the trunk.
    let passes = Double(configuration.pretext.passes)
    return passes * (forward + backward) + (pretext == nil ? 0 : forward) + (try storedOperations(input))
  }

  /// Operations of the look-ups of a training step once the store is full, and of the products that make their queries and what is
  /// stored.
  private func storedOperations(_ input: ModelInput) throws -> Double {
    try storedPlans(input).reduce(0) { total, planned in
      let (layer, plan) = planned, rows = 2 * Double(input.batch * input.length)
      return total + plan.cost(of: .forward).flops + plan.cost(of: .backward).flops
        + rows * Double(3 * layer.queryInput.weight.count + layer.keyValueInput.weight.count)
    }
  }

  /// The look-ups of all layers at the shape of an input, of a full store.
  private func storedPlans(_ input: ModelInput) throws -> [(
    layer: AttentionLayer, plan: any AttentionVariant
  )] {
    try lookups.compactMap { layer in
      guard let stored = layer.stored else { return nil }
      let shape = try layer.storedShape(
        batch: input.batch, queries: input.length, stored: configuration.stored, counts: nil)
      return (layer, try planner.plan(stored.attention, layer: layer.name + ".stored", shape: shape))
    }
  }

  /// Bytes of attention on an input, closed form: the largest of all layers' passes with inputs, results and workspace.
  /// - Throws: `ConfigurationError` when a layer cannot be planned at this shape.
  public func attentionBytes(_ input: ModelInput, pass: PassKind) throws -> Double {
    try (attentionPlans(input).map(\.plan) + storedPlans(input).map(\.plan)).map { plan in
      let cost = plan.cost(of: pass)
      return cost.workspaceBytes + cost.inputOutputBytes
    }.max() ?? 0
  }

  /// Bytes that a memory of earlier segments holds once it is full, of all streams: 4·streams·layers·positions·width, and of
  /// stored pairs 8·streams·pairs·keyHeads·d.
  public func memoryBytes(streams: Int) -> Int {
    4 * streams * configuration.effectiveDecoderLayers * configuration.memory * configuration.width
      + streams * configuration.stored * pairBytes
  }

  /// Bytes of one stored key and its value in all layers that look them up.
  var pairBytes: Int {
    8 * lookups.count * configuration.effectiveKeyHeads * configuration.headDim
  }

  /// Bytes that generation holds of one sequence, closed form.
  /// - Parameter tokens: read so far; of those a memory of segments keeps no more than its positions.
  /// - Returns: `nil` where the attention of a layer can keep nothing, and in models that write no text.
  /// - Throws: `ConfigurationError` when a layer cannot be planned at this length.
  public func cacheBytes(after tokens: Int) throws -> Double? {
    guard configuration.classes == 0, let decoder else { return nil }
    var held = configuration.memory > 0 ? min(tokens, configuration.memory) : tokens
    var total = 0.0
    if configuration.stored > 0 {
      // A segment's pairs wait beside it until it is full.
      let waiting = tokens % configuration.maximumLength
      if configuration.memory == 0 { held = waiting }
      total = Double(pairBytes * (waiting + min(configuration.stored, tokens - waiting)))
      guard held > 0 else { return total }
    }
    for case .attention(let layer) in decoder.sublayers.map(\.function) where !layer.isCross {
      guard try catalog.state(of: layer.attention) != nil else { return nil }
      total += try layer.stateBytes(after: held, planner)
    }
    return total
  }

  /// What all trunks of the model compute on an input.
  private func work(_ input: ModelInput) -> [Work] {
    let sourceLength = input.source.count / max(1, input.batch)
    let cut = configuration.hierarchy.segmentation.cut(
      input.tokens, batch: input.batch, lengths: input.lengths)
    var size = WalkSize(batch: input.batch, length: input.length)
    (size.memoryLength, size.past, size.grid) = (sourceLength, configuration.memory, input.grid)
    if configuration.hierarchy.kind != .none { size.cut = cut }
    let own = main.work(on: size)
    guard decoder != nil, let encoder else { return own }
    return own + encoder.work(on: WalkSize(batch: input.batch, length: sourceLength))
  }

  /// The configured attention of every layer at the shape of an input; no layer: of another than an attention layer.
  private func attentionPlans(_ input: ModelInput) throws -> [(
    layer: AttentionLayer?, plan: any AttentionVariant
  )] {
    try work(input).flatMap { work in
      let others = try work.attention.map { planned -> (AttentionLayer?, any AttentionVariant) in
        (nil, try planner.plan(planned.attention, layer: planned.layer, shape: planned.shape))
      }
      return try others
        + work.sublayers.compactMap { sublayer -> (AttentionLayer?, any AttentionVariant)? in
          guard case .attention(let layer) = sublayer.function else { return nil }
          let shape = try layer.shape(
            batch: work.batch, queries: work.length,
            keys: layer.isCross ? work.memoryLength : work.past + work.length,
            keyLengths: nil)
          let plan = try planner.plan(layer.attention, layer: layer.name, shape: shape)
          guard let graph = input.graph else { return (layer, plan) }
          return (
            layer, try plan.reading(Dictionary(uniqueKeysWithValues: layer.graphs.map { ($0, graph) }))
          )
        }
    }
  }
}
