import Tensors

/// Between rows of a linear layer's product and the heads that attention reads.
extension AttentionLayer {
  /// q of all heads, `[batch, heads, length, d]` (one element more with ALiBi), from the first columns of a product.
  /// - Parameters:
  ///   - rotary: the rotation of the rows' positions.
  ///   - first: the position of the first row.
  ///   - backs: takes the way back where heads are normalised.
  func query(
    _ x: Tensor, batch: Int, rotary: RotaryTable?, first: Int = 0, backs: HeadsBack? = nil, _ run: LayerRun
  ) throws -> Tensor {
    var query = try run.context.splitHeads(
      x, batch: batch, heads: groups ?? heads, dim: dim, rotary: headNorm == nil ? rotary : nil)
    query = try run.context.repeatedHeads(query, times: heads / query.shape[1])
    if let headNorm {
      let normed = try headNorm.forward(query, headNorm.query, rotary: rotary, run)
      query = normed.heads
      backs?.query = normed.back
    }
    return try extended(query, isQuery: true, first: first, run)
  }

  /// k and v of all key heads, from the columns of a product that begin at `column`: k, then v.
  func keyValue(
    _ x: Tensor, column: Int = 0, batch: Int, rotary: RotaryTable?, first: Int = 0,
    backs: HeadsBack? = nil, _ run: LayerRun
  ) throws -> (key: Tensor, value: Tensor) {
    let context = run.context
    var key = try context.splitHeads(
      x, column: column, batch: batch, heads: groups ?? keyHeads, dim: dim,
      rotary: headNorm == nil ? rotary : nil)
    let made = key.shape[1] * dim
    key = try context.repeatedHeads(key, times: keyHeads / key.shape[1])
    if let headNorm {
      let normed = try headNorm.forward(key, headNorm.key, rotary: rotary, run)
      key = normed.heads
      backs?.key = normed.back
    }
    guard wiring.makesValue else {
      let rows = try extended(key, isQuery: false, first: first, run)
      return (rows, key)
    }
    let value = try context.splitHeads(
      x, column: column + made, batch: batch, heads: keyHeads, dim: valueWidth)
    return (try extended(key, isQuery: false, first: first, run), value)
  }

  /// The gradient of q into the first columns of the product's gradient.
  func mergeQuery(
    _ dQuery: Tensor, into d: inout Tensor, rotary: RotaryTable?, _ context: ExecutionContext
  ) throws {
    let own = try context.sumOfHeads(dQuery.narrowed(axis: 3, to: 0..<dim), each: heads / (groups ?? heads))
    context.mergeHeads(own, into: &d, rotary: rotary, inverse: true)
  }

  /// The width of a head of v as the maps make it: latents make others.
  private var valueWidth: Int { latent == nil ? valueDim : dim }

  /// The gradients of k and v into the columns that begin at `column`.
  func mergeKeyValue(
    _ dKey: Tensor, _ dValue: Tensor, into d: inout Tensor, column: Int = 0, rotary: RotaryTable?,
    _ context: ExecutionContext
  ) throws {
    let made = groups ?? keyHeads
    let own = try context.sumOfHeads(dKey.narrowed(axis: 3, to: 0..<dim), each: keyHeads / made)
    context.mergeHeads(own, into: &d, column: column, rotary: rotary, inverse: true)
    if wiring.makesValue { context.mergeHeads(dValue, into: &d, column: column + made * dim) }
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
