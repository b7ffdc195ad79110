import AttentionCore
import Tensors

extension TransformerModel {
  /// Floating-point operations of a training step's passes on an input: forward, and twice that backward for linear
  /// layers; attention by its variants' closed forms. Norms, activations and the optimiser are not counted.
  /// - Throws: `ConfigurationError` when a layer cannot be planned at this shape.
  public func trainingOperations(_ input: ModelInput) throws -> Double {
    func linear(_ stack: Stack?, tokens: Int, memoryTokens: Int) -> Double {
      (stack?.sublayers ?? []).reduce(0) { total, sublayer in
        switch sublayer.function {
        case .feedForward(let layer):
          return total + 2 * Double(tokens) * Double(layer.inner.weight.count + layer.outer.weight.count)
        case .attention(let layer):
          let own = Double(tokens) * Double(layer.input.weight.count + layer.output.weight.count)
          return total + 2 * (own + Double(memoryTokens) * Double(layer.memoryInput?.weight.count ?? 0))
        }
      }
    }
    func attention(_ stack: Stack?, length: Int, memory: Int, lengths: [Int]?) throws -> Double {
      try (stack?.sublayers ?? []).reduce(0) { total, sublayer in
        guard case .attention(let layer) = sublayer.function else { return total }
        let shape = try layer.shape(
          batch: input.batch, queries: length, keys: layer.isCross ? memory : length, keyLengths: nil)
        let plan = try planner.plan(layer.attention, layer: layer.name, shape: shape)
        return total + plan.cost(of: .forward).flops + plan.cost(of: .backward).flops
      }
    }
    let sourceLength = input.source.count / max(1, input.batch)
    let main = decoder ?? encoder
    let labelled =
      configuration.classes > 0
      ? 0 : input.targets.count { $0 >= 0 } * configuration.vocabulary * configuration.width
    var total =
      3 * (linear(main, tokens: input.tokens.count, memoryTokens: input.source.count) + 2 * Double(labelled))
      + (try attention(main, length: input.length, memory: sourceLength, lengths: nil))
    if decoder != nil, encoder != nil {
      total += 3 * linear(encoder, tokens: input.source.count, memoryTokens: 0)
      total += try attention(encoder, length: sourceLength, memory: 0, lengths: nil)
    }
    return total
  }
}
