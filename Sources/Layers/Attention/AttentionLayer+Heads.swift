import Tensors

/// Between rows of a linear layer's product and the heads that attention reads.
extension AttentionLayer {
  /// What the layer's maps make of the rows that ask, and the way back through a convolution behind them.
  func project(
    _ x: Tensor, rotary: RotaryTable?, _ run: LayerRun
  ) throws -> (made: HeadProjection, unconvolved: ((Tensor) throws -> Tensor)?) {
    let past = pastCount(run)
    // A convolution, a look-up and what is kept of a segment read the product's rows themselves.
    guard convolution == nil, stored == nil, past == 0 else {
      let product = try (past == 0 ? input : queryInput).product(x, run)
      let convolved = try convolution?.forward(product, of: name, run)
      return (.rows(convolved?.output ?? product), convolved?.back)
    }
    let turned = headNorm == nil ? rotary : nil, hasQuery = isCross || !wiring.queryIsKey
    let columns =
      (hasQuery ? [HeadColumns(heads: groups ?? heads, dim: dim, rotary: turned)] : [])
      + (isCross ? [] : keyValueColumns(rotary: turned))
    let made = try input.heads(x, batch: run.batch, into: columns, run)
    return (.heads(made, first: hasQuery ? .query : .key), nil)
  }

  /// The columns of k and v, as far as the wiring has them.
  func keyValueColumns(rotary: RotaryTable?) -> [HeadColumns] {
    [HeadColumns(heads: groups ?? keyHeads, dim: dim, rotary: rotary)]
      + (wiring.makesValue ? [HeadColumns(heads: keyHeads, dim: valueWidth)] : [])
  }

  /// q of all heads, `[batch, heads, length, d]` (one element more with ALiBi).
  /// - Parameters:
  ///   - made: what the maps made; of a product's rows the first columns.
  ///   - rotary: the rotation of the rows' positions.
  ///   - first: the position of the first row.
  ///   - backs: takes the way back where heads are normalised.
  func query(
    _ made: HeadProjection, batch: Int, rotary: RotaryTable?, first: Int = 0, backs: HeadsBack? = nil,
    _ run: LayerRun
  ) throws -> Tensor {
    let columns = HeadColumns(heads: groups ?? heads, dim: dim, rotary: headNorm == nil ? rotary : nil)
    var query = try made.heads(wiring.queryIsKey ? .key : .query, columns, at: 0, batch: batch, run.context)
    query = try run.context.repeatedHeads(query, times: heads / query.shape[1])
    if let headNorm {
      let normed = try headNorm.forward(query, headNorm.query, rotary: rotary, run)
      query = normed.heads
      backs?.query = normed.back
    }
    return try extended(query, isQuery: true, first: first, run)
  }

  /// k and v of all key heads; of a product's rows from the columns that begin at `column`: k, then v.
  func keyValue(
    _ made: HeadProjection, column: Int = 0, batch: Int, rotary: RotaryTable?, first: Int = 0,
    backs: HeadsBack? = nil, _ run: LayerRun
  ) throws -> (key: Tensor, value: Tensor) {
    let columns = keyValueColumns(rotary: headNorm == nil ? rotary : nil), context = run.context
    var key = try made.heads(.key, columns[0], at: column, batch: batch, context)
    let width = key.shape[1] * dim
    key = try context.repeatedHeads(key, times: keyHeads / key.shape[1])
    if let headNorm {
      let normed = try headNorm.forward(key, headNorm.key, rotary: rotary, run)
      key = normed.heads
      backs?.key = normed.back
    }
    let rows = try extended(key, isQuery: false, first: first, run)
    guard wiring.makesValue else { return (rows, key) }
    return (rows, try made.heads(.value, columns[1], at: column + width, batch: batch, context))
  }

  /// The gradient of q as the maps made it.
  func queryGradient(_ dQuery: Tensor, rotary: RotaryTable?, _ context: ExecutionContext) throws -> Tensor {
    try unturned(dQuery, each: heads / (groups ?? heads), rotary, context)
  }

  /// The gradients of k and v as the maps made them.
  func keyValueGradients(
    _ dKey: Tensor, _ dValue: Tensor, rotary: RotaryTable?, _ context: ExecutionContext
  ) throws -> [Tensor] {
    [try unturned(dKey, each: keyHeads / (groups ?? keyHeads), rotary, context)]
      + (wiring.makesValue ? [dValue] : [])
  }

  /// Heads before they were repeated, extended and turned.
  private func unturned(
    _ d: Tensor, each: Int, _ rotary: RotaryTable?, _ context: ExecutionContext
  ) throws -> Tensor {
    let own = try context.sumOfHeads(d.narrowed(axis: 3, to: 0..<dim), each: each)
    return try rotary.map { try context.turned(own, $0, inverse: true) } ?? own
  }

  /// The width of a head of v as the maps make it: latents make others.
  private var valueWidth: Int { latent == nil ? valueDim : dim }

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
