import Layers
import Settings
import Tensors

/// A Transformer over the patches of images: patch embedding, then blocks.
///
/// Pixels `[batch·height·width, channels]` → rows `[batch·(class + patches), width]`. Blocks are those of every other model, with the
/// attention of the configuration; of videos with `video: divided` they are TimeSformer's.
/// - Source: Dosovitskiy et al., 2021, An image is worth 16×16 words (arXiv:2010.11929).
package struct VisionTransformer: Trunk {
  package let embedding: PatchEmbedding
  /// Blocks of one sequence an image.
  package let stack: Stack?
  /// Blocks over time, then space.
  package let divided: DividedStack?

  /// - Throws: `MemoryLimitExceeded`.
  package init(
    _ name: String, _ configuration: LayerConfiguration, _ shape: PatchConfiguration, layers: Int,
    hasClassToken: Bool, attention: [LayerAttention], operands: [LayerOperands],
    in layout: inout ParameterLayout, buffers: inout [BufferSlot]
  ) throws(MemoryLimitExceeded) {
    embedding = try PatchEmbedding(
      name, configuration, shape, hasClassToken: hasClassToken, in: &layout)
    guard shape.video == .joint else {
      stack = nil
      divided = DividedStack(
        name, configuration, shape, layers: layers, hasClassToken: hasClassToken, attention: attention,
        operands: operands, in: &layout, buffers: &buffers)
      return
    }
    divided = nil
    stack = Stack(
      name, configuration, layers: layers, isCausal: false, hasMemory: false, attention: attention,
      operands: operands, in: &layout, buffers: &buffers)
  }

  private var body: any Trunk {
    guard let body: any Trunk = stack ?? divided else { preconditionFailure("a trunk has blocks") }
    return body
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try forward(x, replacing: nil, run)
  }

  /// The same where a learned row stands in the place of some patches.
  package func forward(
    _ x: Tensor, replacing hidden: (patches: [Int32], token: ParameterSlot)?, _ run: LayerRun
  ) throws -> (output: Tensor, pullback: Pullback) {
    let (rows, embedded) = try embedding.forward(x, replacing: hidden, run)
    var inner = run.over(batch: run.batch, lengths: nil)
    inner.grid = nil
    let (y, pullback) = try body.forward(rows, inner)
    return (y, Pullback { dy, residual in try embedded(pullback(dy), adding: residual) })
  }

  package func work(on size: WalkSize) -> [Work] {
    let patches = Work(
      weights: embedding.projection.weight.count, batch: size.batch, length: embedding.shape.grid.count)
    return [patches] + body.work(on: WalkSize(batch: size.batch, length: embedding.length))
  }
}
