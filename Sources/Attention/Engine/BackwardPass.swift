import AttentionCore
import Basics
import CKernels
import Tensors

/// One backward pass: the plan and where everything lies. A class for the same reason as `ForwardPass`.
final class BackwardPass: Sendable {
  let plan: BackwardPlan
  /// Those of a plan that has a pipeline.
  let stripes: RowStripes?
  let pattern: TilePattern
  let shape: AttentionShape
  let scale: Double
  /// What makes scores besides products.
  let stages: PinnedStages
  let context: ExecutionContext
  let query: InputRows, key: InputRows, value: InputRows
  let outputGradient: Rows, output: Rows, lse: Rows
  let queryGradient: Rows, keyGradient: Rows, valueGradient: Rows
  let accumulators: Region, partials: Region

  init(
    plan: BackwardPlan, stripes: RowStripes?, pattern: TilePattern, shape: AttentionShape, scale: Double,
    stages: PinnedStages, context: ExecutionContext, query: InputRows, key: InputRows, value: InputRows,
    outputGradient: Rows, output: Rows, lse: Rows, queryGradient: Rows, keyGradient: Rows,
    valueGradient: Rows, accumulators: Region, partials: Region
  ) {
    (self.plan, self.stripes, self.pattern) = (plan, stripes, pattern)
    (self.shape, self.scale, self.stages, self.context) = (shape, scale, stages, context)
    (self.query, self.key, self.value) = (query, key, value)
    (self.outputGradient, self.output, self.lse) = (outputGradient, output, lse)
    (self.queryGradient, self.keyGradient, self.valueGradient) = (queryGradient, keyGradient, valueGradient)
    (self.accumulators, self.partials) = (accumulators, partials)
  }

  var accumulatorFloats: Int { BackwardPlan.blockKeys * (shape.headDim + shape.valueDim) }
  /// Floats of a row of dQ: what the row adds to dw and to the sums of other stages stands behind it.
  var queryWidth: Int { shape.headDim + stages.sumCount(shape) }
  var partialFloats: Int { Int(ATTN_LANES) * queryWidth }

  var scratchFloats: Int {
    Engine.lines(Engine.backwardScratchBytes(shape, in: context) + stages.scratchBytes(shape))
      / MemoryLayout<Float>.stride
  }

  func run() throws {
    if !plan.firstCoversAllRows { clearQueryGradient() }
    if let pipeline = plan.pipeline, let stripes {
      try run(stripes, of: pipeline)
    } else if let colours = plan.colours {
      try run(colours)
    } else {
      try runUnits()
    }
  }

  private func clearQueryGradient() {
    let chunk = 1024
    let chunks = (shape.queryLength + chunk - 1) / chunk
    let count = shape.batch * shape.queryHeads * chunks
    Parallel.forEachByShare(count: count, threads: context.threads) { index, _ in
      let (rest, part) = (index / chunks, index % chunks)
      let rows = queryGradient.head(rest / shape.queryHeads, rest % shape.queryHeads)
      let count = min(chunk, shape.queryLength - part * chunk)
      (rows + part * chunk * queryWidth).update(repeating: 0, count: count * queryWidth)
    }
  }

  /// Where gradients of keys and values of one (batch, key head) are added.
  struct KeyGradients {
    var batch: Int
    /// The rows of every 64-key block.
    var key: UnsafePointer<UnsafeMutablePointer<Float>>
    var value: UnsafePointer<UnsafeMutablePointer<Float>>
  }

  /// The rows of a block of the result.
  func block(_ gradient: Rows, batch: Int, keyHead: Int, _ number: Int, dim: Int)
    -> UnsafeMutablePointer<Float>
  {
    gradient.head(batch, keyHead) + number * BackwardPlan.blockKeys * dim
  }

  /// What the kernels need to know of a query head's gradients.
  func gradient(_ head: Int, _ target: KeyGradients) -> attn_gradient {
    attn_gradient(
      output: output.head(target.batch, head), output_gradient: outputGradient.head(target.batch, head),
      lse: lse.head(target.batch, head), output_stride: Int64(output.rowStride),
      output_gradient_stride: Int64(outputGradient.rowStride),
      query_gradient: queryGradient.head(target.batch, head),
      query_gradient_stride: Int64(queryGradient.rowStride), key_gradient: target.key,
      value_gradient: target.value)
  }
}
