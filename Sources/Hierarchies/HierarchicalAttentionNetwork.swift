import Layers
import Settings
import Tensors

/// A hierarchical attention network: `document = pool(encode(segments))`, `segment = pool(encode(words))`.
///
/// x `[batch·length, width]` → `[batch, width]`. encode is a stack of recurrent units or of Transformer blocks, pool an
/// `AttentionPooling`; both levels have weights of their own. Segments are read side by side, each as a sequence of its own, so
/// attention costs O(length·segment) instead of O(length²).
/// - Source: Yang et al., 2016, Hierarchical attention networks for document classification.
package struct HierarchicalAttentionNetwork: Trunk {
  /// One level.
  struct Level: Sendable {
    let encoder: any Layer
    let pooling: AttentionPooling
  }

  let words: Level
  let segments: Level
  let positions: SegmentPositions

  package init(
    _ name: String, _ configuration: LayerConfiguration, _ hierarchy: HierarchyConfiguration, layers: Int,
    attention: [LayerAttention], operands: [LayerOperands], in layout: inout ParameterLayout,
    buffers: inout [BufferSlot]
  ) {
    func level(
      _ part: String, layers: Int, _ layout: inout ParameterLayout, _ buffers: inout [BufferSlot]
    ) -> Level {
      let prefix = "\(name).\(part)"
      let encoder: any Layer =
        switch hierarchy.encoder {
        case .gru:
          Chain(
            layers: (0..<layers).map {
              GatedRecurrent("\(prefix).layers.\($0)", configuration, in: &layout)
            })
        case .blocks:
          Stack(
            prefix, configuration, layers: layers, isCausal: false, hasMemory: false, attention: attention,
            operands: operands, in: &layout, buffers: &buffers)
        }
      return Level(
        encoder: encoder,
        pooling: AttentionPooling(prefix + ".pooling", width: configuration.width, in: &layout))
    }
    let upper = hierarchy.segmentLayers == 0 ? layers : hierarchy.segmentLayers
    words = level("words", layers: layers, &layout, &buffers)
    positions = SegmentPositions(
      "\(name).segments", configuration, most: hierarchy.mostSegments(of: configuration.maximumLength),
      in: &layout)
    segments = level("segments", layers: upper, &layout, &buffers)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    guard let cut = run.cut else { preconditionFailure("documents are cut before they are read") }
    let (rows, wordsBack) = try forward(words, x, cut.segments, run)
    let (placed, positionsBack) = try positions.added(to: rows, cut.documents, run)
    let (y, segmentsBack) = try forward(segments, placed, cut.documents, run)
    let pullback = Pullback { dy, residual in
      let d = try segmentsBack(dy)
      positionsBack(d)
      return try wordsBack(d, adding: residual)
    }
    return (y, pullback)
  }

  /// One row of every group.
  private func forward(
    _ level: Level, _ x: Tensor, _ groups: RowGroups, _ run: LayerRun
  ) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, own = run.over(batch: groups.count, lengths: groups.lengths)
    let (h, encoded) = try level.encoder.forward(groups.padded(x, context), own)
    let (y, pooled) = try level.pooling.forward(h, own)
    let pullback = Pullback { dy, residual in
      try context.sum(residual, groups.unpadded(encoded(pooled(dy)), rows: x.shape[0], context))
    }
    return (y, pullback)
  }
}

/// Layers on top of each other.
struct Chain: Layer {
  let layers: [any Layer]

  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try run.chain(layers, x)
  }
}
