import Layers
import Settings
import Tensors

/// A hierarchical attention transformer: blocks inside segments, and between them blocks across the first tokens of all segments
/// of a document, whose results take these tokens' places.
///
/// x `[batch·length, width]` → the same shape. Of L lower and U upper blocks, the j-th upper one (from 0) comes behind
/// `⌈(j + 1)·L/U⌉` lower ones: with U = L they alternate. An upper block reads the first tokens with the positions of their
/// segments. Attention costs O(length·segment + segments²).
/// - Source: Chalkidis et al., 2022, An exploration of hierarchical attention transformers (interleaved layout).
package struct HierarchicalTransformer: Trunk {
  /// A block across segments.
  struct Across: Sendable {
    let block: Block
    let positions: SegmentPositions
    /// Lower blocks below it.
    let below: Int
  }

  let within: Stack
  let across: [Across]

  package init(
    _ name: String, _ configuration: LayerConfiguration, _ hierarchy: HierarchyConfiguration, layers: Int,
    attention: [LayerAttention], operands: [LayerOperands], in layout: inout ParameterLayout,
    buffers: inout [BufferSlot]
  ) {
    let upper = hierarchy.segmentLayers == 0 ? layers : hierarchy.segmentLayers
    let most = hierarchy.mostSegments(of: configuration.maximumLength)
    let stack = Stack(
      "\(name).segments", configuration, layers: upper, isCausal: false, hasMemory: false,
      attention: attention, operands: operands, hasFinalNorm: false, in: &layout, buffers: &buffers)
    across = stack.blocks.enumerated().map { index, block in
      Across(
        block: block,
        positions: SegmentPositions(
          "\(name).segments.layers.\(index)", configuration, most: most, in: &layout),
        below: ((index + 1) * layers + upper - 1) / upper)
    }
    within = Stack(
      name, configuration, layers: layers, isCausal: false, hasMemory: false, attention: attention,
      operands: operands, in: &layout, buffers: &buffers)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    guard let cut = run.cut else { preconditionFailure("documents are cut before they are read") }
    let context = run.context, segments = cut.segments
    let own = run.over(batch: segments.count, lengths: segments.lengths)
    let pullbacks = PullbackChain()
    var y = try segments.padded(x, context)
    func add(_ step: (output: Tensor, pullback: Pullback)) {
      y = step.output
      if run.isDifferentiated { pullbacks.append(step.pullback) }
    }
    for (index, block) in within.blocks.enumerated() {
      add(try block.forward(y, own))
      for upper in across where upper.below == index + 1 { add(try forward(upper, y, cut, run)) }
    }
    if let final = within.final { add(try final.forward(y, own)) }
    let pullback = Pullback { dy, residual in
      let d = try pullbacks.walk(segments.padded(dy, context))
      return try context.sum(residual, segments.unpadded(d, rows: x.shape[0], context))
    }
    return (try segments.unpadded(y, rows: x.shape[0], context), pullback)
  }

  /// The first rows of all segments through an upper block and back to their places.
  private func forward(
    _ upper: Across, _ x: Tensor, _ cut: DocumentCut, _ run: LayerRun
  ) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, longest = cut.segments.longest
    let places = (0..<cut.segments.count).map { Int32($0 * longest) }
    let (rows, positioned) = try upper.positions.added(to: context.lookUp(places, in: x), cut.documents, run)
    let (firsts, pullback) = try cut.documents.forward(upper.block, rows, run)
    let whole = Pullback { dy, residual in
      let d = try pullback(context.lookUp(places, in: dy))
      positioned(d)
      return try context.sum(residual, context.replacingRows(of: dy, at: places, by: d))
    }
    return (try context.replacingRows(of: x, at: places, by: firsts), whole)
  }
}
