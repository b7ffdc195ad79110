import Tensors

/// What stands between a model's embedding and its head.
package protocol Trunk: Layer {
  /// What a pass computes, for the closed form of its operations.
  /// - Parameters:
  ///   - cut: where documents are cut, for layers that read them in segments.
  ///   - length: rows of a sequence.
  ///   - memoryLength: rows of the memory that cross-attention reads.
  ///   - past: rows before every sequence.
  func work(batch: Int, length: Int, memoryLength: Int, past: Int, cut: DocumentCut?) -> [Work]
}

/// Layers on as many sequences of one length.
package struct Work {
  /// Residual steps.
  package var sublayers: [Sublayer] = []
  /// Weights of products beside them: each is read once for every row.
  package var weights = 0
  /// Sequences.
  package var batch: Int
  /// Rows of a sequence.
  package var length: Int
  /// Rows of the memory of a sequence.
  package var memoryLength = 0
  /// Rows before a sequence, which have keys and values.
  package var past = 0

  /// Operations of the linear layers forward: 2 for every weight and row.
  package var linearOperations: Double {
    let rows = Double(batch * length), memoryRows = Double(batch * memoryLength)
    return sublayers.reduce(2 * rows * Double(weights)) { total, sublayer in
      switch sublayer.function {
      case .feedForward(let layer):
        return total + 2 * rows * Double(layer.inner.weight.count + layer.outer.weight.count)
      case .attention(let layer):
        let own = rows * Double(layer.input.weight.count + (layer.output?.weight.count ?? 0))
        let before = past == 0 || layer.isCross ? 0 : Double(batch * past * layer.keyValueInput.weight.count)
        let seen = layer.isCross ? 0 : rows + Double(batch * past)
        return total + 2 * (own + before + memoryRows * Double(layer.memoryInput?.weight.count ?? 0))
          + (layer.latent?.operations(asking: rows, seen: seen) ?? 0)
      }
    }
  }
}

extension Stack {
  package func work(batch: Int, length: Int, memoryLength: Int, past: Int, cut: DocumentCut?) -> [Work] {
    [Work(sublayers: sublayers, batch: batch, length: length, memoryLength: memoryLength, past: past)]
  }
}

extension HierarchicalTransformer {
  package func work(batch: Int, length: Int, memoryLength: Int, past: Int, cut: DocumentCut?) -> [Work] {
    guard let cut else { return [] }
    return [
      Work(sublayers: within.sublayers, batch: cut.segments.count, length: cut.segments.longest),
      Work(sublayers: across.flatMap(\.block.sublayers), batch: batch, length: cut.documents.longest),
    ]
  }
}

extension HierarchicalAttentionNetwork {
  package func work(batch: Int, length: Int, memoryLength: Int, past: Int, cut: DocumentCut?) -> [Work] {
    guard let cut else { return [] }
    func work(_ level: Level, _ groups: RowGroups) -> Work {
      var work = Work(batch: groups.count, length: groups.longest)
      work.weights = level.pooling.hidden.weight.count
      if let stack = level.encoder as? Stack { work.sublayers = stack.sublayers }
      if let chain = level.encoder as? Chain {
        for case let unit as GatedRecurrent in chain.layers {
          work.weights += unit.directions.reduce(0) { $0 + $1.input.weight.count + $1.state.weight.count }
        }
      }
      return work
    }
    return [work(words, cut.segments), work(segments, cut.documents)]
  }
}
