import AttentionCore
import Tensors

/// Attention to latent rows, in two forms of the same function.
///
/// Expanded, keys and values of all heads are made of the latents: what training and whole sequences are read with. Absorbed, the
/// maps of keys go into the queries and those of values behind the means, so that the latents are the one key head, and the first
/// d_c elements of a key its value: a token that is generated makes no keys and no values of earlier ones.
extension AttentionLayer {
  /// The outputs of all heads, `[batch, heads, length, d]`, and the way back.
  func attend(through maps: LatentMaps, _ x: Tensor, _ run: LayerRun) throws -> (
    outputs: Tensor, pullback: Pullback
  ) {
    let context = run.context, batch = run.batch, past = pastCount(run)
    let asking = try ownRows(of: x, run)
    let made = try (past == 0 ? input : queryInput).product(asking, run)
    let table = try rotary(first: run.first + past, count: asking.shape[0] / batch, run)
    let queries = try maps.queries(made, batch: batch, rotary: table, run)
    let keyTable = past == 0 ? table : try rotary(first: run.first, count: x.shape[0] / batch, run)
    let latents = try maps.latents(
      past == 0 ? made : keyValueInput.product(x, run), column: past == 0 ? keyColumn : 0, batch: batch,
      rotary: keyTable, run)
    if let decoding = run.decoding {
      let held = try keep(latents, decoding, run)
      // Rows that begin a sequence see no others: all that they read was made just now.
      if run.first > 0 { return (try attendAbsorbed(queries, held, maps, run), .none) }
    }
    let query = try queries.turned.map { try context.joinHeads(queries.plain, $0) } ?? queries.plain
    let (key, value, back) = try maps.expanded(latents, batch: batch, run)
    let forward = try attend(query, key, value, form: .expanded, run)
    guard run.isDifferentiated else { return (forward.output, .none) }
    let pullback = Pullback { dOutputs, residual in
      let gradient = try forward.backward(dOutputs, knowing: run.losses?.signal, in: context)
      try accumulateLearned(gradient, run)
      let d = try back(gradient.key, gradient.value)
      let whole = past == 0 ? input : keyValueInput
      var dMade = try context.empty([x.shape[0], whole.weight.shape[0]])
      if past == 0 { try queries.back(gradient.query, &dMade) }
      try latents.back(d.rows, d.key, &dMade)
      var dx = try whole.backward(dMade, x: x, run)
      if past > 0 {
        var dQuery = try context.empty([asking.shape[0], queryColumns])
        try queries.back(gradient.query, &dQuery)
        addOwn(try queryInput.backward(dQuery, x: asking, run), to: &dx, run)
      }
      return try context.sum(residual, dx)
    }
    return (forward.output, pullback)
  }

  /// Adds the latents of new rows to those that are held; returns all, the one key head `[1, 1, keys, d_c + d_r]`.
  private func keep(_ latents: LatentMaps.Latents, _ decoding: SequenceStates, _ run: LayerRun) throws
    -> Tensor
  {
    let rows = latents.rows.reshaped([1, 1] + latents.rows.shape)
    let whole = try latents.sharedKey.map { try run.context.joinHeads(rows, $0) } ?? rows
    return try decoding.append(whole, to: .key, of: self, in: run.context)
  }

  /// The outputs of rows that continue a sequence, from the latents of all rows.
  private func attendAbsorbed(
    _ queries: LatentMaps.Queries, _ held: Tensor, _ maps: LatentMaps, _ run: LayerRun
  ) throws -> Tensor {
    let value = held.narrowed(axis: 3, to: 0..<maps.width)
    let means = try attend(maps.absorbed(queries, run), held, value, form: .absorbed, run).output
    return try maps.values(ofMeans: means, run)
  }

  private func attend(_ query: Tensor, _ key: Tensor, _ value: Tensor, form: Form, _ run: LayerRun) throws
    -> Forward
  {
    let shape = try shape(
      batch: run.batch, queries: run.spread?.length ?? query.shape[2],
      keys: run.spread?.length ?? key.shape[2], keyLengths: run.lengths, form: form)
    let plan = try run.planner.plan(attention, layer: name, shape: shape)
    var inputs = Operands(query: query, key: key, value: value)
    try addRowless(to: &inputs, plan, run)
    let forward = try run.attend(plan, inputs, of: name)
    run.observer?.attended(plan, reading: inputs, lse: forward.lse)
    return forward
  }
}
