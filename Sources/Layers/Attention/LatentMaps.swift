import Tensors

/// Multi-head latent attention: keys and values of all heads are made of one short row, which is all that a decoder keeps.
///
/// The layer's input map makes of every row x the latent `x W_Dᵀ` and a key `x W_Kᵀ` that rotary positions turn and all heads
/// share. What follows is made here, from the norm of the latent and of the queries' own latent where there is one:
///
/// ```
/// c = rms(x W_Dᵀ),  k_h = [c W_kᵀ_h ; rope(x W_Kᵀ)],  v_h = c W_vᵀ_h,  q_h = [q W_qᵀ_h ; rope(q W_Qᵀ_h)]
/// ```
///
/// c `[rows, latent]`; heads of k and q are `d + ropeWidth` wide, those of v d, or `valueWidth`.
/// - Source: DeepSeek-AI, 2024, DeepSeek-V2, section 2.1 and appendix C.
package struct LatentMaps: Sendable {
  let heads: Int, dim: Int, valueDim: Int
  /// d_c, the width of a latent row.
  package let width: Int
  /// d_r, the elements of a head that rotary positions turn.
  package let ropeWidth: Int
  /// The width of the queries' latent row; 0: the input map makes them.
  package let queryWidth: Int
  let norm: Normalization
  let queryNorm: Normalization?
  /// From the queries' latent row: all heads' d elements, then all heads' d_r.
  let query: Linear?
  /// Keys of all heads, then values.
  let keyValue: Linear

  /// Columns of the input map that queries take.
  var queryColumns: Int { queryWidth > 0 ? queryWidth : heads * (dim + ropeWidth) }
  /// Columns that the latent and the shared key take.
  var keyColumns: Int { width + ropeWidth }

  /// The parts of the input map.
  static func inputs(_ name: String, _ configuration: LayerConfiguration) -> [(name: String, output: Int)] {
    let latent = (name: name + ".latent", output: configuration.latent)
    let asking =
      configuration.queryLatent > 0
      ? [(name: name + ".queryLatent", output: configuration.queryLatent)] : queries(name, configuration)
    return asking + [latent] + turned(name + ".keyRope", configuration.effectiveRopeWidth)
  }

  private static func queries(_ name: String, _ configuration: LayerConfiguration) -> [(
    name: String, output: Int
  )] {
    [(name: name + ".query", output: configuration.heads * configuration.headDim)]
      + turned(name + ".queryRope", configuration.heads * configuration.effectiveRopeWidth)
  }

  private static func turned(_ name: String, _ width: Int) -> [(name: String, output: Int)] {
    width > 0 ? [(name: name, output: width)] : []
  }

  /// Declares the parameters behind the input map; `nil`: the layers have no latent.
  init?(_ name: String, _ configuration: LayerConfiguration, in layout: inout ParameterLayout) {
    guard configuration.latent > 0 else { return nil }
    heads = configuration.heads
    dim = configuration.headDim
    valueDim = configuration.valueDim
    width = configuration.latent
    ropeWidth = configuration.effectiveRopeWidth
    queryWidth = configuration.queryLatent
    var rms = configuration
    rms.norm = .rms
    if configuration.latentEpsilon > 0 { rms.epsilon = configuration.latentEpsilon }
    // A norm without running moments has no buffers.
    var none: [BufferSlot] = []
    norm = Normalization(name + ".latentNorm", rms, width: width, in: &layout, buffers: &none)
    keyValue = Linear(
      [(name + ".key", heads * dim), (name + ".value", heads * valueDim)], from: width, bias: false,
      in: &layout)
    guard queryWidth > 0 else {
      (queryNorm, query) = (nil, nil)
      return
    }
    queryNorm = Normalization(name + ".queryNorm", rms, width: queryWidth, in: &layout, buffers: &none)
    query = Linear(
      LatentMaps.queries(name, configuration), from: queryWidth, bias: false, in: &layout)
  }

  /// Operations of the maps forward.
  /// - Parameters:
  ///   - asking: rows that have queries.
  ///   - seen: rows that have keys.
  package func operations(asking: Double, seen: Double) -> Double {
    2 * (asking * Double(query?.weight.count ?? 0) + seen * Double(keyValue.weight.count))
  }

  // MARK: - Queries

  /// q of all heads: the elements that stay, `[batch, heads, length, d]`, those that are turned, `[…, d_r]`, and the way back
  /// into the first columns of the gradient of `made`.
  struct Queries {
    let plain: Tensor
    let turned: Tensor?
    let back: (_ dQuery: Tensor, _ dMade: inout Tensor) throws -> Void
  }

  /// - Parameters:
  ///   - made: rows of the input map, queries first.
  ///   - rotary: the rotation of the rows' positions.
  func queries(_ made: Tensor, batch: Int, rotary: RotaryTable?, _ run: LayerRun) throws -> Queries {
    let context = run.context
    var (source, normBack): (Tensor, Pullback?) = (made, nil)
    var normed: Tensor?
    if let query, let queryNorm {
      let (row, back) = try queryNorm.forward(context.columns(0..<queryWidth, of: made), run)
      (normed, normBack) = (row, back)
      source = try query.product(row, run)
    }
    let plain = try context.splitHeads(source, batch: batch, heads: heads, dim: dim)
    let turned =
      ropeWidth == 0
      ? nil
      : try context.splitHeads(
        source, column: heads * dim, batch: batch, heads: heads, dim: ropeWidth, rotary: rotary)
    return Queries(plain: plain, turned: turned) { dQuery, dMade in
      func merge(into d: inout Tensor) {
        context.mergeHeads(dQuery.narrowed(axis: 3, to: 0..<dim), into: &d)
        guard ropeWidth > 0 else { return }
        context.mergeHeads(
          dQuery.narrowed(axis: 3, to: dim..<dim + ropeWidth), into: &d, column: heads * dim, rotary: rotary,
          inverse: true)
      }
      guard let query, let normed, let normBack else { return merge(into: &dMade) }
      var dUp = try context.empty([normed.shape[0], query.weight.shape[0]])
      merge(into: &dUp)
      context.write(try normBack(query.backward(dUp, x: normed, run)), to: &dMade, column: 0)
    }
  }

  // MARK: - Keys

  /// What a decoder keeps of rows: c `[rows, d_c]`, and the key of all heads `[batch, 1, length, d_r]`.
  struct Latents {
    let rows: Tensor
    let sharedKey: Tensor?
    /// From ∂L/∂c and ∂L/∂k to the columns of the input map from `column` on.
    let back: (_ dRows: Tensor, _ dSharedKey: Tensor?, _ dMade: inout Tensor) throws -> Void
  }

  /// - Parameters:
  ///   - made: rows of the input map.
  ///   - column: where the latent begins in them.
  ///   - rotary: the rotation of the rows' positions.
  func latents(
    _ made: Tensor, column: Int, batch: Int, rotary: RotaryTable?, _ run: LayerRun
  ) throws -> Latents {
    let context = run.context
    let (rows, normBack) = try norm.forward(context.columns(column..<column + width, of: made), run)
    let key =
      ropeWidth == 0
      ? nil
      : try context.splitHeads(
        made, column: column + width, batch: batch, heads: 1, dim: ropeWidth, rotary: rotary)
    return Latents(rows: rows, sharedKey: key) { dRows, dKey, dMade in
      context.write(try normBack(dRows), to: &dMade, column: column)
      guard let dKey else { return }
      context.mergeHeads(dKey, into: &dMade, column: column + width, rotary: rotary, inverse: true)
    }
  }

  /// Keys `[batch, heads, length, d + d_r]` and values `[batch, heads, length, d]` of all heads, and the way back from their
  /// gradients to those of the latents.
  func expanded(_ latents: Latents, batch: Int, _ run: LayerRun) throws -> (
    key: Tensor, value: Tensor,
    back: (_ dKey: Tensor, _ dValue: Tensor) throws -> (rows: Tensor, key: Tensor?)
  ) {
    let context = run.context
    let made = try keyValue.product(latents.rows, run)
    let plain = try context.splitHeads(made, batch: batch, heads: heads, dim: dim)
    let value = try context.splitHeads(made, column: heads * dim, batch: batch, heads: heads, dim: valueDim)
    let key = try latents.sharedKey.map { try context.joinHeads(plain, $0) } ?? plain
    return (
      key, value,
      { dKey, dValue in
        var d = try context.empty([latents.rows.shape[0], heads * (dim + valueDim)])
        context.mergeHeads(dKey.narrowed(axis: 3, to: 0..<dim), into: &d)
        context.mergeHeads(dValue, into: &d, column: heads * dim)
        let dRows = try keyValue.backward(d, x: latents.rows, run)
        guard ropeWidth > 0 else { return (dRows, nil) }
        return (dRows, try context.sumOfHeads(dKey.narrowed(axis: 3, to: dim..<dim + ropeWidth)))
      }
    )
  }

  // MARK: - Absorbed

  /// Queries that the latents themselves are the keys of: `[1, heads, rows, d_c + d_r]`, since
  /// `q_h·(c W_kᵀ_h) = (q_h W_k_h)·c`.
  /// - Complexity: 2·heads·rows·d·d_c operations.
  func absorbed(_ queries: Queries, _ run: LayerRun) throws -> Tensor {
    let rows = queries.plain.shape[2]
    let product = try perHead(queries.plain, rows: 0, size: dim, width: width, .plain, run)
    let whole = product.reshaped([1, heads, rows, width])
    return try queries.turned.map { try run.context.joinHeads(whole, $0) } ?? whole
  }

  /// Heads' outputs `[1, heads, rows, d]` from means of latents `[1, heads, rows, d_c]`: the map of values comes last.
  /// - Complexity: 2·heads·rows·d·d_c operations.
  func values(ofMeans means: Tensor, _ run: LayerRun) throws -> Tensor {
    try perHead(means, rows: heads * dim, size: valueDim, width: valueDim, .transposed, run)
      .reshaped([1, heads, means.shape[2], valueDim])
  }

  /// Every head of x `[1, heads, rows, …]` times its `size` rows of the map that makes keys and values.
  private func perHead(
    _ x: Tensor, rows first: Int, size: Int, width: Int, _ side: ExecutionContext.Orientation, _ run: LayerRun
  ) throws -> Tensor {
    precondition(x.shape[0] == 1, "one sequence is read in absorbed form, not \(x.shape[0])")
    let rows = x.shape[2]
    var result = try run.context.empty([heads * rows, width])
    for head in 0..<heads {
      let own = x.narrowed(axis: 1, to: head..<head + 1).contiguous().reshaped([rows, x.shape[3]])
      let weight = run.weight(keyValue.weight.rows(first + head * size..<first + (head + 1) * size))
      try run.context.gemm(own, .plain, weight, side, into: &result, at: head * rows * width)
    }
    return result
  }
}

extension ExecutionContext {
  /// Some columns of rows, as a matrix of their own.
  fileprivate func columns(_ range: Range<Int>, of x: Tensor) throws -> Tensor {
    try splitHeads(x, column: range.lowerBound, batch: 1, heads: 1, dim: range.count)
      .reshaped([x.shape[0], range.count])
  }

  /// Writes a matrix into columns of rows.
  fileprivate func write(_ x: Tensor, to rows: inout Tensor, column: Int) {
    mergeHeads(x.reshaped([1, 1, x.shape[0], x.shape[1]]), into: &rows, column: column)
  }
}
