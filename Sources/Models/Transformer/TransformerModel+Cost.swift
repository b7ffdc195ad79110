import AttentionCore
import Layers
import Tensors

extension TransformerModel {
  /// Floating-point operations of a training step's passes on an input: forward, and twice that backward for linear
  /// layers; attention by its variants' closed forms. What makes operands of a variant's own counts on the rows that are
  /// read. Norms, activations and the optimiser are not counted.
  /// - Throws: `ConfigurationError` when a layer cannot be planned at this shape.
  public func trainingOperations(_ input: ModelInput) throws -> Double {
    func linear(_ stack: Stack?, tokens: Int, memoryTokens: Int) -> Double {
      (stack?.sublayers ?? []).reduce(0) { total, sublayer in
        switch sublayer.function {
        case .feedForward(let layer):
          return total + 2 * Double(tokens) * Double(layer.inner.weight.count + layer.outer.weight.count)
        case .attention(let layer):
          let own = Double(tokens) * Double(layer.input.weight.count + (layer.output?.weight.count ?? 0))
          return total + 2 * (own + Double(memoryTokens) * Double(layer.memoryInput?.weight.count ?? 0))
        }
      }
    }
    let main = decoder ?? encoder
    let labelled =
      configuration.classes > 0
      ? 0 : input.targets.count { $0 >= 0 } * configuration.vocabulary * configuration.width
    var total =
      3 * (linear(main, tokens: input.tokens.count, memoryTokens: input.source.count) + 2 * Double(labelled))
    if decoder != nil, encoder != nil {
      total += 3 * linear(encoder, tokens: input.source.count, memoryTokens: 0)
    }
    return try attentionPlans(input).reduce(total) { total, planned in
      let (layer, plan) = planned
      let own = layer.projected.reduce(0) { $0 + $1.operations(plan) }
      return total + 3 * own + plan.cost(of: .forward).flops + plan.cost(of: .backward).flops
    }
  }

  /// Bytes of attention on an input, closed form: the largest of all layers' passes with inputs, results and workspace.
  /// - Throws: `ConfigurationError` when a layer cannot be planned at this shape.
  public func attentionBytes(_ input: ModelInput, pass: PassKind) throws -> Double {
    try attentionPlans(input).map { _, plan in
      let cost = plan.cost(of: pass)
      return cost.workspaceBytes + cost.inputOutputBytes
    }.max() ?? 0
  }

  /// The configured attention of every layer at the shape of an input.
  private func attentionPlans(_ input: ModelInput) throws -> [(
    layer: AttentionLayer, plan: any AttentionVariant
  )] {
    let sourceLength = input.source.count / max(1, input.batch)
    func plans(_ stack: Stack?, length: Int, memory: Int) throws -> [(AttentionLayer, any AttentionVariant)] {
      try (stack?.sublayers ?? []).compactMap { sublayer in
        guard case .attention(let layer) = sublayer.function else { return nil }
        let shape = try layer.shape(
          batch: input.batch, queries: length, keys: layer.isCross ? memory : length, keyLengths: nil)
        let plan = try planner.plan(layer.attention, layer: layer.name, shape: shape)
        guard let graph = input.graph else { return (layer, plan) }
        return (
          layer, try plan.reading(Dictionary(uniqueKeysWithValues: layer.graphs.map { ($0, graph) }))
        )
      }
    }
    let main = try plans(decoder ?? encoder, length: input.length, memory: sourceLength)
    guard decoder != nil, encoder != nil else { return main }
    return main + (try plans(encoder, length: sourceLength, memory: 0))
  }
}
