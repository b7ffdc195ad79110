import Attention
import AttentionCore
import Tensors

extension RankPass {
  /// Gradients of the own rows of q, k and v.
  func backward(
    _ outputGradient: Tensor, output: Tensor, lse: Tensor, movedQueries: [Tensor?]
  ) throws -> Operands {
    var stream = try KeyStream(self)
    let rows = OutputRows(gradient: outputGradient, output: output, lse: lse)
    let moving = try sendOutputRows(rows)
    var gradient = try ownGradient(rows)
    let sends = try answer(moving.incoming, movedQueries, into: &gradient)
    for (source, pending) in zip(plan.sources, moving.results) {
      guard let pending else { continue }
      let places = source.leg.movingQueries
      gradient.query.add(
        try pending.wait().reshaped(queryExtents(places.count, shape.headDim)), toRows: places)
    }
    var home = HomewardGradients()
    while let (slot, piece) = try stream.nextSlot() {
      if let piece { try add(piece, rows, to: &gradient.query, &home) }
      try home.receive(slot, self, into: &gradient)
    }
    try home.finish(self, into: &gradient)
    for pending in moving.sends + sends { try pending.wait() }
    return gradient
  }

  /// What the way back needs of rows of the output.
  struct OutputRows {
    var gradient: Tensor, output: Tensor, lse: Tensor

    func narrowed(to rows: Range<Int>) -> OutputRows {
      OutputRows(
        gradient: gradient.narrowed(axis: 2, to: rows), output: output.narrowed(axis: 2, to: rows),
        lse: lse.narrowed(axis: 2, to: rows))
    }
  }

  /// The gradients of rows of q and of keys, from the pairs of a pattern; a row that fills up is taken off.
  private func gradient(
    _ query: Tensor, _ keys: HeldKeys, _ rows: OutputRows, _ pattern: TilePattern
  ) throws -> Operands {
    var result = try Engine.backward(
      outputGradient: rows.gradient, query: query, key: keys.key, value: keys.value, output: rows.output,
      lse: rows.lse, shape: try blockShape(query, keys), scale: plan.scale, pattern: pattern, in: context)
    guard keys.key.shape[2] > keys.count else { return result }
    result.key = result.key.narrowed(axis: 2, to: 0..<keys.count)
    result.value = result.value.narrowed(axis: 2, to: 0..<keys.count)
    return result
  }

  private func ownGradient(_ rows: OutputRows) throws -> Operands {
    guard queryRows > 0, keyRows > 0, !plan.own.isEmpty else {
      return Operands(
        query: try Tensor(zeros: queryExtents(queryRows, shape.headDim), ledger: ledger),
        key: try Tensor(zeros: keyExtents(keyRows, shape.headDim), ledger: ledger),
        value: try Tensor(zeros: keyExtents(keyRows, shape.valueDim), ledger: ledger))
    }
    return try gradient(inputs.query, try ownKeys(), rows, plan.own.backward)
  }

  /// Adds what the rows get from a piece, and sends what the piece gets from them to its rank.
  private func add(
    _ piece: KeyStream.Piece, _ rows: OutputRows, to queryGradient: inout Tensor,
    _ home: inout HomewardGradients
  ) throws {
    let all = RowRuns(all: piece.keys.count)
    var sum: (key: Tensor, value: Tensor)?
    for block in blocks(piece, \.backward) {
      let part = try gradient(
        inputs.query.narrowed(axis: 2, to: block.rows), block.keys, rows.narrowed(to: block.rows),
        block.pattern)
      queryGradient.add(part.query, toRows: RowRuns([block.rows]))
      if sum == nil {
        sum = (part.key, part.value)
      } else {
        sum?.key.add(part.key, toRows: all)
        sum?.value.add(part.value, toRows: all)
      }
      communicator.progress()
    }
    let (d, e) = (shape.headDim, shape.valueDim)
    let key = try sum?.key ?? Tensor(zeros: keyExtents(all.count, d), ledger: ledger)
    let value = try sum?.value ?? Tensor(zeros: keyExtents(all.count, e), ledger: ledger)
    let message = try Tensor.packed([key, value], rows: all, ledger: ledger)
    try home.send(message, to: plan.sources[piece.source].rank, communicator)
  }

  // MARK: - Queries that have moved

  private struct MovingRows {
    var sends: [any PendingSend] = []
    var incoming: [(any PendingReceive)?] = [], results: [(any PendingReceive)?] = []
  }

  private func sendOutputRows(_ rows: OutputRows) throws -> MovingRows {
    var moving = MovingRows()
    for target in plan.targets {
      let count = queryExtents(target.leg.movingQueries.count, 2 * shape.valueDim + 1).reduce(1, *)
      moving.incoming.append(
        count == 0
          ? nil
          : try communicator.receive(
            count, .float32, from: target.rank, tag: .outputGradients, ledger: ledger))
    }
    for source in plan.sources {
      let places = source.leg.movingQueries
      guard !places.isEmpty else {
        moving.results.append(nil)
        continue
      }
      let lse = rows.lse.reshaped(queryExtents(queryRows, 1))
      let message = try Tensor.packed([rows.gradient, rows.output, lse], rows: places, ledger: ledger)
      moving.sends.append(try communicator.send(message, to: source.rank, tag: .outputGradients))
      moving.results.append(
        try communicator.receive(
          queryExtents(places.count, shape.headDim).reduce(1, *), .float32, from: source.rank,
          tag: .queryGradients, ledger: ledger))
    }
    return moving
  }

  /// Adds what others' queries give the own keys, and sends their gradients.
  private func answer(
    _ incoming: [(any PendingReceive)?], _ queries: [Tensor?], into sum: inout Operands
  ) throws -> [any PendingSend] {
    var sends: [any PendingSend] = []
    for (index, target) in plan.targets.enumerated() {
      guard let pending = incoming[index], let query = queries[index] else { continue }
      let count = target.leg.movingQueries.count
      let parts = try pending.wait().unpacked([
        queryExtents(count, shape.valueDim), queryExtents(count, shape.valueDim), queryExtents(count, 1),
      ])
      let lse = parts[2].reshaped([shape.batch, shape.queryHeads, count])
      let part = try gradient(
        query, try ownKeys(), OutputRows(gradient: parts[0], output: parts[1], lse: lse),
        target.patterns.backward)
      sum.key.add(part.key, toRows: RowRuns(all: keyRows))
      sum.value.add(part.value, toRows: RowRuns(all: keyRows))
      let message = try Tensor.packed([part.query], rows: RowRuns(all: count), ledger: ledger)
      sends.append(try communicator.send(message, to: target.rank, tag: .queryGradients))
    }
    return sends
  }
}

/// Gradients of pieces on their way to the ranks that hold them; each is waited for one slot later, so that it can travel while the
/// next piece is worked with.
struct HomewardGradients {
  private var sends: [any PendingSend] = []
  private var arriving: (pending: any PendingReceive, places: RowRuns)?

  /// Sends the gradients of a piece home.
  mutating func send(_ message: Tensor, to rank: Int, _ communicator: any Communicator) throws {
    if sends.count > 1 { try sends.removeFirst().wait() }
    sends.append(try communicator.send(message, to: rank, tag: .keyGradients))
  }

  /// Posts the receive of a slot's gradients and adds those of the slot before.
  mutating func receive(_ slot: RankPlan.Slot, _ pass: RankPass, into gradient: inout Operands) throws {
    let earlier = arriving
    arriving = nil
    if let places = slot.outgoing {
      let elements = pass.keyExtents(places.count, pass.shape.headDim + pass.shape.valueDim).reduce(1, *)
      let pending = try pass.communicator.receive(
        elements, .float32, from: pass.plan.targets[slot.target].rank, tag: .keyGradients,
        ledger: pass.ledger)
      arriving = (pending, places)
    }
    try add(earlier, pass, into: &gradient)
  }

  /// Adds the last ones and waits until all have left.
  mutating func finish(_ pass: RankPass, into gradient: inout Operands) throws {
    try add(arriving, pass, into: &gradient)
    arriving = nil
    for send in sends { try send.wait() }
    sends = []
  }

  private func add(
    _ arrived: (pending: any PendingReceive, places: RowRuns)?, _ pass: RankPass,
    into gradient: inout Operands
  ) throws {
    guard let (pending, places) = arrived else { return }
    let parts = try pending.wait().unpacked([
      pass.keyExtents(places.count, pass.shape.headDim), pass.keyExtents(places.count, pass.shape.valueDim),
    ])
    gradient.key.add(parts[0], toRows: places)
    gradient.value.add(parts[1], toRows: places)
  }
}
