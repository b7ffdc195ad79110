import AttentionCore
import Tensors

extension AttentionLayer {
  /// y, with a residual added, and the way back. The gradient of the memory goes to the run's `Memory`.
  ///
  /// Rows that continue a sequence find its keys and values in the run's `SequenceStates`, which moves on behind them.
  package func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let (outputs, pullback) = try attend(x, run)
    // Nothing holds a view of the state any more: it loses rows in place.
    if !isCross { try run.decoding?.advance(self, by: x.shape[0]) }
    if gate == nil, let output {
      let heads = HeadMatrix([outputs])
      let y = try output.product(heads, adding: residual, run)
      return (
        y,
        Pullback { dy, residual in
          try run.context.sum(residual, pullback(output.backward(dy, heads: heads, run)))
        }
      )
    }
    let merged = try HeadMatrix([outputs]).moved(in: run.context)
    let gated = try gate?.forward(merged, x: x, run), finished = gated?.output ?? merged
    let whole = Pullback { dy, residual in
      let d = try backwardOfHeads(dy, finished, run)
      let (dMerged, dx) = try gated?.back(d) ?? (d, nil)
      let dOutputs = try run.context.splitHeads(dMerged, batch: run.batch, heads: heads, dim: valueDim)
      guard let dx else { return try run.context.sum(residual, pullback(dOutputs)) }
      return try run.context.sum(residual, run.context.add(pullback(dOutputs), dx))
    }
    return (try joined(finished, adding: residual, run), whole)
  }

  /// The outputs of all heads, `[batch, heads, length, d]`, and the way back.
  private func attend(_ x: Tensor, _ run: LayerRun) throws -> (outputs: Tensor, pullback: Pullback) {
    if let latent { return try attend(through: latent, x, run) }
    let context = run.context, batch = run.batch
    let (asking, past) = (try ownRows(of: x, run), pastCount(run))
    let length = asking.shape[0] / batch, first = run.first + past
    let rotary = try rotary(first: first, count: length, run)
    let (projected, unconvolved) = try project(asking, rotary: rotary, run)
    let backs = headNorm != nil && run.isDifferentiated ? HeadsBack() : nil
    let query = try query(projected, batch: batch, rotary: rotary, first: first, backs: backs, run)
    let (key, value) = try keyValue(projected, x, rotary: rotary, backs, run)
    let shape = try shape(
      batch: batch, queries: run.spread?.length ?? length, keys: run.spread?.length ?? key.shape[2],
      keyLengths: isCross ? run.memory?.lengths : run.lengths)
    let plan = try run.planner.plan(attention, layer: name, shape: shape)
    var inputs = Operands(query: query, key: key, value: value)
    let own = try addOwn(to: &inputs, of: x, plan, rotary: rotary, run)
    let forward = try attend(plan, inputs, run)
    run.observer?.attended(plan, reading: inputs, lse: forward.lse)
    let lookup = try lookUp(forward.output, asking: asking, projected, run)
    try store(asking, projected, run)
    let outputs = lookup?.output ?? forward.output
    guard run.isDifferentiated else { return (outputs, .none) }
    let pullback = Pullback { dOutputs, residual in
      let looked = try lookup?.back(dOutputs)
      var gradient = try forward.backward(
        looked?.dOwn ?? dOutputs, knowing: run.losses?.signal, in: context)
      try accumulateLearned(gradient, run)
      if let backs { try backs.walk(&gradient) }
      var dx = try backward(gradient, x: x, own, rotary: backs == nil ? rotary : nil, unconvolved, run)
      if let looked { addOwn(looked.dx, to: &dx, run) }
      return try context.sum(residual, dx)
    }
    return (outputs, pullback)
  }

  /// Attention itself: spread over ranks, behind the state of a recurrence, or over all rows.
  private func attend(_ plan: any AttentionVariant, _ inputs: Operands, _ run: LayerRun) throws -> Forward {
    if let decoding = run.decoding, !isCross, let plan = plan as? any RecurrentVariant {
      return try decoding.forward(plan, inputs, of: self, in: run.context)
    }
    return try run.attend(plan, inputs, of: name)
  }

  /// Keys and values of all heads: of the memory, or of the rows behind those that came before them.
  private func keyValue(
    _ projected: HeadProjection, _ x: Tensor, rotary: RotaryTable?, _ backs: HeadsBack?, _ run: LayerRun
  ) throws -> (key: Tensor, value: Tensor) {
    if let memoryInput, let memory = run.memory {
      func make() throws -> (key: Tensor, value: Tensor) {
        let columns = keyValueColumns(rotary: nil)
        let made = try memoryInput.heads(memory.rows, batch: run.batch, into: columns, run)
        return try keyValue(.heads(made, first: .key), batch: run.batch, rotary: nil, run)
      }
      return try run.decoding?.crossed(by: self, make) ?? make()
    }
    if pastCount(run) > 0 { return try keyValueWithPast(x, run) }
    let (key, value) = try keyValue(
      projected, column: keyColumn, batch: run.batch, rotary: rotary, first: run.first, backs: backs, run)
    guard let decoding = run.decoding, decoding.keepsRows(of: self) else { return (key, value) }
    return (
      try decoding.append(key, to: .key, of: self, in: run.context),
      try decoding.append(value, to: .value, of: self, in: run.context)
    )
  }

  /// Adds the operands of the variant's own; returns the ways back of those that some row reads.
  private func addOwn(
    to inputs: inout Operands, of x: Tensor, _ plan: any AttentionVariant, rotary: RotaryTable?,
    _ run: LayerRun
  ) throws -> [ProjectedOperands.Pullback] {
    try addRowless(to: &inputs, plan, run)
    return try projected.compactMap { group in
      if let decoding = run.decoding, decoding.keepsRows(of: self), !group.isOfQueries {
        try continueKeys(group, decoding, of: x, plan, to: &inputs, rotary: rotary, run)
        return nil
      }
      let rows = group.rows(of: plan)
      guard rows?.isEmpty != true else { return nil }
      let (product, pullback) = try group.product(x, rows: rows, rotary: rotary, run)
      for part in group.parts {
        inputs[part.operand.name] = try group.operand(
          part, of: product, layer: self, batch: run.batch, rotary: rotary, first: run.first, run)
      }
      return pullback
    }
  }

  /// Adds the operands that no rows of x make: parameters, graphs, draws.
  func addRowless(to inputs: inout Operands, _ plan: any AttentionVariant, _ run: LayerRun) throws {
    for (operand, slot) in learned { inputs[operand.name] = run.weight(slot) }
    for name in graphs { inputs.graphs[name] = run.graph }
    for operand in drawn where run.training {
      inputs[operand.name] = try .uniform(
        operand.extents(at: plan.shape), key: run.key("\(name).\(operand.name)"), ledger: run.context.ledger)
    }
  }

  /// Operands of a variant's own that have rows of k and v: the new ones behind those of earlier rows, for as long as a row
  /// that reads them is still to come.
  private func continueKeys(
    _ group: ProjectedOperands, _ decoding: SequenceStates, of x: Tensor, _ plan: any AttentionVariant,
    to inputs: inout Operands, rotary: RotaryTable?, _ run: LayerRun
  ) throws {
    let readers = group.parts.map { lastReader($0.operand.name) }
    let last = readers.contains(nil) ? Int.max - 1 : readers.compactMap(\.self).max() ?? Int.max - 1
    guard run.first <= last else { return }
    let read = min(x.shape[0], last + 1 - run.first)
    let (product, _) = try group.product(
      x.narrowed(axis: 0, to: 0..<read), rows: nil, rotary: rotary, run)
    let isRead = group.rows(of: plan)?.isEmpty != true
    for part in group.parts {
      let new = try group.operand(
        part, of: product, layer: self, batch: 1, rotary: rotary, first: run.first, run)
      let all = try decoding.append(new, to: part.operand.name, of: self, in: run.context)
      guard isRead else { continue }
      inputs[part.operand.name] = try lengthened(all, to: plan.shape.keyLength, run.context)
    }
  }

  /// Rows of zeros behind those that a row sees.
  private func lengthened(_ x: Tensor, to rows: Int, _ context: ExecutionContext) throws -> Tensor {
    let axis = x.rank - 2
    guard x.shape[axis] < rows else { return x }
    let heads = x.rank == 4 ? x : x.reshaped([1] + x.shape)
    var buffer = try RowBuffer(heads, ledger: context.ledger)
    try buffer.append(
      context.zeros([heads.shape[0], heads.shape[1], rows - heads.shape[2], heads.shape[3]]))
    return x.rank == 4 ? buffer.rows : buffer.rows.reshaped([1, rows, heads.shape[3]])
  }

  /// Adds the gradients of operands that are parameters.
  func accumulateLearned(_ gradient: Operands, _ run: LayerRun) throws {
    for (operand, slot) in learned {
      guard let d = gradient[operand.name] else { preconditionFailure("no gradient of \(operand.name)") }
      run.context.accumulate(d.reshaped([slot.count]), into: &run.state.gradients, at: slot.offset)
    }
  }

  /// The gradient of x from those of the operands; that of the memory goes there.
  private func backward(
    _ gradient: Operands, x: Tensor, _ own: [ProjectedOperands.Pullback], rotary: RotaryTable?,
    _ unconvolved: ((Tensor) throws -> Tensor)?, _ run: LayerRun
  ) throws -> Tensor {
    let context = run.context
    if pastCount(run) > 0 { return try backwardWithPast(gradient, x: x, rotary: rotary, run) }
    let dQuery = try wiring.queryIsKey ? [] : [queryGradient(gradient.query, rotary: rotary, context)]
    if let memoryInput, let memory = run.memory {
      let dMade = try keyValueGradients(gradient.key, gradient.value, rotary: nil, context)
      let dx = try input.backward(HeadMatrix(dQuery), x: x, run)
      try memory.add(memoryInput.backward(HeadMatrix(dMade), x: memory.rows, run), context)
      return dx
    }
    let dKey = try wiring.queryIsKey ? context.add(gradient.query, gradient.key) : gradient.key
    let d = try HeadMatrix(dQuery + keyValueGradients(dKey, gradient.value, rotary: rotary, context))
    var dx =
      try unconvolved.map { try input.backward($0(d.moved(in: context)), x: x, run) }
      ?? input.backward(d, x: x, run)
    for pullback in own { try pullback(gradient, &dx) }
    return dx
  }
}
