import Tensors

/// Between rows of a linear layer's product and the heads that attention reads.
extension AttentionLayer {
  /// q of all heads, `[batch, heads, length, d]` (one element more with ALiBi), from the first columns of a product.
  /// - Parameters:
  ///   - rotary: the rotation of the rows' positions.
  ///   - first: the position of the first row.
  func query(
    _ x: Tensor, batch: Int, rotary: RotaryTable?, first: Int = 0, _ run: LayerRun
  ) throws -> Tensor {
    let query = try run.context.splitHeads(x, batch: batch, heads: heads, dim: dim, rotary: rotary)
    return try extended(query, isQuery: true, first: first, run)
  }

  /// k and v of all key heads, from the columns of a product that begin at `column`: k, then v.
  func keyValue(
    _ x: Tensor, column: Int = 0, batch: Int, rotary: RotaryTable?, first: Int = 0, _ run: LayerRun
  ) throws -> (key: Tensor, value: Tensor) {
    let context = run.context
    let key = try context.splitHeads(
      x, column: column, batch: batch, heads: keyHeads, dim: dim, rotary: rotary)
    guard wiring.makesValue else {
      let rows = try extended(key, isQuery: false, first: first, run)
      return (rows, key)
    }
    let value = try context.splitHeads(
      x, column: column + keyHeads * dim, batch: batch, heads: keyHeads, dim: dim)
    return (try extended(key, isQuery: false, first: first, run), value)
  }

  /// The gradient of q into the first columns of the product's gradient.
  func mergeQuery(_ dQuery: Tensor, into d: inout Tensor, rotary: RotaryTable?, _ context: ExecutionContext) {
    context.mergeHeads(
      dQuery.narrowed(axis: 3, to: 0..<dim), into: &d, rotary: rotary, inverse: true)
  }

  /// The gradients of k and v into the columns that begin at `column`.
  func mergeKeyValue(
    _ dKey: Tensor, _ dValue: Tensor, into d: inout Tensor, column: Int = 0, rotary: RotaryTable?,
    _ context: ExecutionContext
  ) {
    context.mergeHeads(
      dKey.narrowed(axis: 3, to: 0..<dim), into: &d, column: column, rotary: rotary, inverse: true)
    if wiring.makesValue { context.mergeHeads(dValue, into: &d, column: column + keyHeads * dim) }
  }

  /// Adds the ALiBi element to q or k when the layer has that encoding.
  func extended(_ x: Tensor, isQuery: Bool, first: Int, _ run: LayerRun) throws -> Tensor {
    guard position == .alibi else { return x }
    let root = wiring.scalesProducts ? Float(dim).squareRoot() : 1,
      slopes = AttentionLayer.slopes(heads: heads)
    let rows = run.spread?.rows
    return try run.context.extendHeads(x) { head, row in
      isQuery ? slopes[head] * root : Float(rows?.row(at: row) ?? first + row)
    }
  }
}
