import Attention
import AttentionCore
import Tensors

/// One pass of one rank: what it holds, and where its messages go.
struct RankPass {
  let plan: RankPlan
  let communicator: any Communicator
  let inputs: Operands
  let context: ExecutionContext

  /// Output and LSE of the own rows, and the queries that other ranks have sent, by distance.
  struct Result {
    var output: Tensor, lse: Tensor
    var movedQueries: [Tensor?]
  }

  var ledger: MemoryLedger? { context.ledger }
  var shape: AttentionShape { plan.shape }
  var queryRows: Int { plan.queries.rows[plan.rank].count }
  var keyRows: Int { plan.keys.rows[plan.rank].count }

  /// Extents of rows of q, or of the output.
  func queryExtents(_ rows: Int, _ dim: Int) -> [Int] { [shape.batch, shape.queryHeads, rows, dim] }
  /// Extents of rows of k, or of v.
  func keyExtents(_ rows: Int, _ dim: Int) -> [Int] { [shape.batch, shape.keyHeads, rows, dim] }

  // MARK: - Forward

  func forward() throws -> Result {
    var stream = try KeyStream(self)
    let queries = try sendQueries()
    var (output, lse) = try ownRows()
    let moved = try answer(queries.incoming)
    for (source, pending) in zip(plan.sources, queries.results) {
      guard let pending else { continue }
      let rows = source.leg.movingQueries
      let parts = try pending.wait().unpacked([
        queryExtents(rows.count, shape.valueDim), queryExtents(rows.count, 1),
      ])
      let part = (output: parts[0], lse: parts[1].reshaped([shape.batch, shape.queryHeads, rows.count]))
      Engine.merge(part, into: &output, lse: &lse, at: rows, in: context)
    }
    while let piece = try stream.next() {
      for block in blocks(piece, \.forward) {
        let part = try attend(inputs.query.narrowed(axis: 2, to: block.rows), block.keys, block.pattern)
        Engine.merge(part, into: &output, lse: &lse, at: RowRuns([block.rows]), in: context)
        communicator.progress()
      }
    }
    for pending in queries.sends { try pending.wait() }
    for pending in moved.sends { try pending.wait() }
    return Result(output: output, lse: lse, movedQueries: moved.queries)
  }

  /// The own rows over the own keys.
  private func ownRows() throws -> (output: Tensor, lse: Tensor) {
    let lseShape = [shape.batch, shape.queryHeads, queryRows]
    guard queryRows > 0, keyRows > 0, !plan.own.isEmpty else {
      let nothing = [Float](repeating: -.infinity, count: lseShape.reduce(1, *))
      return (
        try Tensor(zeros: queryExtents(queryRows, shape.valueDim), ledger: ledger),
        try Tensor(nothing, shape: lseShape, ledger: ledger)
      )
    }
    return try attend(inputs.query, try ownKeys(), plan.own.forward)
  }

  /// Rows of q over keys, under a pattern of their places.
  func attend(_ query: Tensor, _ keys: HeldKeys, _ pattern: TilePattern) throws -> (
    output: Tensor, lse: Tensor
  ) {
    try Engine.forward(
      query: query, key: keys.key, value: keys.value, shape: try blockShape(query, keys), scale: plan.scale,
      pattern: pattern, in: context)
  }

  /// The sizes of rows of q over keys, all else as in the whole: positions are in the pattern, so that the shape is not causal.
  func blockShape(_ query: Tensor, _ keys: HeldKeys) throws -> AttentionShape {
    var block = shape
    (block.queryLength, block.keyLength) = (query.shape[2], keys.key.shape[2])
    (block.isCausal, block.keyLengths, block.scale) = (false, keys.valid, plan.scale)
    try block.validate()
    return block
  }

  // MARK: - Keys

  /// Keys that are here: the own ones, or a piece of another's.
  struct HeldKeys {
    var key: Tensor, value: Tensor
    /// Rows without the one that fills up.
    var count: Int
    /// Valid ones of every sequence; `nil`: all.
    var valid: [Int]?
  }

  func ownKeys() throws -> HeldKeys {
    try held(inputs.key, inputs.value, valid: plan.validKeys(RowRuns(all: keyRows), of: plan.rank))
  }

  /// Keys as a call of the engine takes them. A single one gets a row of zeros beside it: the engine takes the only key of a
  /// call for the only key of its rows, whose score has no gradient.
  func held(_ key: Tensor, _ value: Tensor, valid: [Int]?) throws -> HeldKeys {
    let count = key.shape[2]
    guard count == 1 else { return HeldKeys(key: key, value: value, count: count, valid: valid) }
    return HeldKeys(
      key: try key.withRowOfZeros(ledger: ledger), value: try value.withRowOfZeros(ledger: ledger),
      count: count, valid: valid)
  }

  /// Rows of the own q against a piece: as many as are computed at once.
  struct Block {
    var rows: Range<Int>
    var keys: HeldKeys
    var pattern: TilePattern
  }

  /// The blocks of a piece, rows rising; none of rows that see nothing of it.
  func blocks(_ piece: KeyStream.Piece, _ pass: KeyPath<RankPlan.PassPatterns, TilePattern>) -> [Block] {
    let all = RowRuns(all: queryRows)
    let pattern = plan.sources[piece.source].patterns[keyPath: pass].mapped {
      $0.restricted(queryOffset: 0, rows: all, keys: piece.places)
    }
    let seeing = RowRuns(pattern.lists.flatMap(\.rowsSeeing.runs)).runs
    guard let first = seeing.first?.lowerBound, let last = seeing.last?.upperBound else { return [] }
    let keys = RowRuns(all: piece.places.count)
    return stride(from: first, to: last, by: plan.options.rowsAtOnce).compactMap { start in
      let rows = start..<min(last, start + plan.options.rowsAtOnce)
      let part = pattern.mapped { $0.restricted(queryOffset: 0, rows: RowRuns([rows]), keys: keys) }
      guard part.lists.contains(where: { !$0.tiles.isEmpty }) else { return nil }
      return Block(rows: rows, keys: piece.keys, pattern: part)
    }
  }

  // MARK: - Queries that move

  private struct MovingQueries {
    var sends: [any PendingSend] = []
    /// By distance: queries of others, results of the own.
    var incoming: [(any PendingReceive)?] = [], results: [(any PendingReceive)?] = []
  }

  private func sendQueries() throws -> MovingQueries {
    var moving = MovingQueries()
    for target in plan.targets {
      let count = queryExtents(target.leg.movingQueries.count, shape.headDim).reduce(1, *)
      moving.incoming.append(
        count == 0
          ? nil
          : try communicator.receive(count, shape.precision, from: target.rank, tag: .queries, ledger: ledger)
      )
    }
    for source in plan.sources {
      let rows = source.leg.movingQueries
      guard !rows.isEmpty else {
        moving.results.append(nil)
        continue
      }
      let message = try Tensor.packed([inputs.query], rows: rows, ledger: ledger)
      moving.sends.append(try communicator.send(message, to: source.rank, tag: .queries))
      moving.results.append(
        try communicator.receive(
          queryExtents(rows.count, shape.valueDim + 1).reduce(1, *), .float32, from: source.rank,
          tag: .partialResults, ledger: ledger))
    }
    return moving
  }

  /// Computes others' queries over the own keys and sends the results.
  private func answer(_ incoming: [(any PendingReceive)?]) throws -> (
    queries: [Tensor?], sends: [any PendingSend]
  ) {
    var queries: [Tensor?] = [], sends: [any PendingSend] = []
    for (target, pending) in zip(plan.targets, incoming) {
      guard let pending else {
        queries.append(nil)
        continue
      }
      let rows = target.leg.movingQueries.count
      let query = try pending.wait().reshaped(queryExtents(rows, shape.headDim))
      let part = try attend(query, try ownKeys(), target.patterns.forward)
      let lse = part.lse.reshaped(queryExtents(rows, 1))
      let message = try Tensor.packed([part.output, lse], rows: RowRuns(all: rows), ledger: ledger)
      sends.append(try communicator.send(message, to: target.rank, tag: .partialResults))
      queries.append(query)
    }
    return (queries, sends)
  }
}
