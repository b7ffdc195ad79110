import AttentionCore
import Tensors

/// What becomes of the outputs of all heads, `[rows, heads·d]`.
extension AttentionLayer {
  /// `merged·W_Oᵀ + b`, or `merged + b`, or the mean over heads `+ b`; with a residual added.
  func joined(_ merged: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> Tensor {
    if let output { return try output.product(merged, adding: residual, run) }
    let context = run.context, rows = merged.shape[0]
    var y = try context.zeros([rows, wiring.output == .mean ? dim : heads * dim])
    if wiring.output == .mean {
      for head in 0..<heads {
        let own = try context.splitHeads(merged, column: head * dim, batch: 1, heads: 1, dim: dim)
        context.accumulate(own.reshaped([rows, dim]), factor: 1 / Float(heads), into: &y)
      }
    } else {
      context.accumulate(merged, into: &y)
    }
    if let bias {
      let table = run.weight(bias).reshaped([1, bias.count])
      context.accumulate(try context.lookUp([Int32](repeating: 0, count: rows), in: table), into: &y)
    }
    if let residual { context.accumulate(residual.contiguous(), into: &y) }
    return y
  }

  /// The gradient of the heads' outputs; adds those of map and bias.
  func backwardOfHeads(_ dy: Tensor, _ merged: Tensor, _ run: LayerRun) throws -> Tensor {
    if let output { return try output.backward(dy, x: merged, run) }
    if let bias { run.context.accumulateColumnSums(dy, into: &run.state.gradients, at: bias.offset) }
    guard wiring.output == .mean else { return dy }
    let rows = dy.shape[0]
    var scaled = try run.context.zeros([1, 1, rows, dim])
    run.context.accumulate(dy, factor: 1 / Float(heads), into: &scaled)
    var d = try run.context.empty([rows, heads * dim])
    for head in 0..<heads { run.context.mergeHeads(scaled, into: &d, column: head * dim) }
    return d
  }
}
