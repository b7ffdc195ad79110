import AttentionCore
import Tensors

extension GraphAttention {
  /// Every pair as often as the list of edges has it, looked up by bisection in the sorted list.
  public func definition(of inputs: Operands) throws -> any Definition {
    let shape = shape, configuration = configuration
    let edges = inputs.graphs[.edges] ?? planned.edges
    let pairs = zip(edges.targets, edges.sources).map { UInt64($0) << 32 | UInt64($1) }.sorted()
    let score = configuration.score
    let factor = score == .dot ? shape.effectiveScale : 1
    let message: Operand.Name = configuration.sendsKey ? .key : .value
    let leaky = ScoreTransform.Function.leaky(slope: configuration.slope)
    let term: SoftmaxDefinition.Term =
      switch score {
      case .dot: .product(.query, .key, factor: factor)
      case .gat:
        .transformed(
          ScoreTransform(
            leaky, of: .products([(.attentionSource, .key), (.attentionTarget, .query)]), factor: factor))
      case .gatv2:
        .transformed(
          ScoreTransform(leaky, of: .elements(of: [.query, .key], weight: .attention), factor: factor))
      case .additive:
        .transformed(
          ScoreTransform(.tanh, of: .elements(of: [.query, .key], weight: .attention), factor: factor))
      }
    return SoftmaxDefinition(
      shape: shape, operands: operands, terms: { _ in [term] }, value: { _ in message },
      multiplicity: { _, _, query, key in
        let position = query + shape.queryOffset
        if shape.isCausal && key > position { return 0 }
        if configuration.selfLoops && key == position { return 1 }
        let wanted = UInt64(query) << 32 | UInt64(key)
        let count = pairs.bisect { $0 > wanted } - pairs.bisect { $0 >= wanted }
        return configuration.duplicates == .keep ? count : min(count, 1)
      })
  }
}

extension [UInt64] {
  /// The first place from which on all elements of a sorted array satisfy a condition.
  fileprivate func bisect(_ holds: (UInt64) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
