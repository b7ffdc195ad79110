import AttentionCore
import Settings
import Tensors

/// What stands between a model's embedding and its head.
package protocol Trunk: Layer {
  /// What a pass computes, for the closed form of its operations.
  func work(on size: WalkSize) -> [Work]
}

/// The extents of a walk through a trunk.
package struct WalkSize {
  /// Sequences.
  package var batch: Int
  /// Rows of a sequence.
  package var length: Int
  /// Rows of the memory that cross-attention reads.
  package var memoryLength = 0
  /// Rows before every sequence.
  package var past = 0
  /// Where documents are cut, for layers that read them in segments.
  package var cut: DocumentCut?
  /// The places of an image that every sequence's rows are.
  package var grid: Grid?

  package init(batch: Int, length: Int) { (self.batch, self.length) = (batch, length) }
}

/// Attention of a layer at a shape.
package struct PlannedAttention {
  package let layer: String
  package let attention: LayerAttention
  package let shape: AttentionShape

  package init(layer: String, attention: LayerAttention, shape: AttentionShape) {
    (self.layer, self.attention, self.shape) = (layer, attention, shape)
  }
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
  /// Operations forward beside those of weights.
  package var operations = 0.0
  /// Attention that no attention layer makes: which layer's, and at which shape.
  package var attention: [PlannedAttention] = []

  package init(
    sublayers: [Sublayer] = [], weights: Int = 0, batch: Int, length: Int, memoryLength: Int = 0,
    past: Int = 0
  ) {
    (self.sublayers, self.weights, self.batch, self.length) = (sublayers, weights, batch, length)
    (self.memoryLength, self.past) = (memoryLength, past)
  }

  /// Operations forward of the linear layers, 2 for every weight and row, and of what has no weights.
  package var linearOperations: Double {
    let rows = Double(batch * length), memoryRows = Double(batch * memoryLength)
    return sublayers.reduce(operations + 2 * rows * Double(weights)) { total, sublayer in
      switch sublayer.function {
      case .feedForward(let layer):
        return total + 2 * rows * Double(layer.inner.weight.count + layer.outer.weight.count)
      case .experts(let layer): return total + 2 * rows * Double(layer.activeWeights)
      case .attention(let layer):
        let own =
          rows * Double(layer.input.weight.count + (layer.output?.weight.count ?? 0))
          + rows * Double((layer.convolution?.weight.count ?? 0) + (layer.gate?.map.weight.count ?? 0))
        let before = past == 0 || layer.isCross ? 0 : Double(batch * past * layer.keyValueInput.weight.count)
        let seen = layer.isCross ? 0 : rows + Double(batch * past)
        return total + 2 * (own + before + memoryRows * Double(layer.memoryInput?.weight.count ?? 0))
          + (layer.latent?.operations(asking: rows, seen: seen) ?? 0)
      }
    }
  }
}

extension Stack {
  package func work(on size: WalkSize) -> [Work] {
    [
      Work(
        sublayers: sublayers, batch: size.batch, length: size.length, memoryLength: size.memoryLength,
        past: size.past)
    ]
  }
}
