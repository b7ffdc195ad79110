import AttentionCore
import Basics
import Tensors

/// Statistics of rows over the pairs of a pattern, pair by pair: no weight is kept.
/// - Complexity: O(executed pairs · headDim) time, O(rows) memory.
struct TileStatistics: Sendable {
  let shape: AttentionShape
  let pattern: TilePattern
  let score: PairScore
  /// What is added to a head's score at a distance `i − j`; `nil`: nothing.
  var bias: (@Sendable (_ head: Int, _ distance: Int) -> Double)?
  /// How often a row of k counts that stands for several keys; `nil`: every one counts once.
  var counts: (@Sendable (_ batch: Int, _ key: Int) -> Int)?
  /// How often a row's own key counts where the row sees no other; `nil`: it does not.
  var lonely: (@Sendable (_ batch: Int, _ head: Int, _ row: Int) -> Int)?

  /// Of scores that are products.
  init(shape: AttentionShape, scale: Double, pattern: TilePattern) {
    self.init(shape: shape, pattern: pattern, score: .products(scale, dim: shape.headDim))
  }

  /// Of any scores.
  init(shape: AttentionShape, pattern: TilePattern, score: PairScore) {
    (self.shape, self.pattern, self.score) = (shape, pattern, score)
  }

  /// Statistics of all rows.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func rows(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics {
    ScoreTally.statistics(of: try tallies(of: inputs, in: context))
  }

  /// The scores of all rows, to be joined with others.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func tallies(of inputs: Operands, in context: ExecutionContext) throws -> [ScoreTally] {
    let wide = try inputs.converted(to: .float32, ledger: context.ledger)
    let (query, key) = (wide.query.rows(), wide.key.rows())
    return try shape.talliesByHead(in: context) { batch, head in
      try tallies(batch, head, query, key, context.cancellation)
    }
  }

  private func tallies(
    _ batch: Int, _ head: Int, _ query: Rows, _ key: Rows, _ cancellation: Cancellation?
  ) throws -> [ScoreTally] {
    var found = [ScoreTally](repeating: ScoreTally(), count: shape.queryLength)
    let list = pattern.list(batch: batch, head: head), valid = shape.validKeys(batch: batch)
    let keyHead = shape.keyHead(of: head)
    for tile in list.tiles {
      if cancellation?.isRequested == true { throw CancellationRequested() }
      let rows = list.rows(of: tile)
      for segment in list.segments(of: tile) {
        let keys = list.keys(of: segment)
        for (lane, row) in rows.enumerated() {
          let q = query.row(batch, head, row), position = row + shape.queryOffset
          for (t, j) in keys.enumerated()
          where j < valid && list.allows(segment.mask, lane: lane, position: position, t: t, key: j) {
            let sum = score(head, q, key.row(batch, keyHead, j)) + (bias?(head, position - j) ?? 0)
            found[row].add(shape.capped(sum).score, count: counts?(batch, j) ?? 1)
          }
        }
      }
    }
    guard let lonely else { return found }
    for row in 0..<min(valid, found.count) where found[row].isEmpty {
      let own = score(head, query.row(batch, head, row), key.row(batch, keyHead, row))
      found[row].add(shape.capped(own).score, count: lonely(batch, head, row))
    }
    return found
  }
}

/// Statistics of rows that share no tile: each names its keys, one as often as it counts.
struct RowwiseStatistics: Sendable {
  let shape: AttentionShape
  let score: PairScore

  /// Statistics of all rows.
  /// - Parameter keys: calls its last argument with every key of a row.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func rows(
    of inputs: Operands, in context: ExecutionContext,
    keys: @Sendable (_ batch: Int, _ head: Int, _ row: Int, _ visit: (Int) -> Void) -> Void
  ) throws -> RowStatistics {
    let (query, key) = (inputs.query.rows(), inputs.key.rows())
    let tallies = try shape.talliesByHead(in: context) { batch, head in
      let keyHead = shape.keyHead(of: head)
      return try (0..<shape.queryLength).map { row in
        try context.checkCancellation()
        let q = query.row(batch, head, row)
        var tally = ScoreTally()
        keys(batch, head, row) { tally.add(score(head, q, key.row(batch, keyHead, $0))) }
        return tally
      }
    }
    return ScoreTally.statistics(of: tallies)
  }
}

extension AttentionShape {
  /// The rows of every (batch, head), on all threads, in the order of the log-sum-exp.
  fileprivate func talliesByHead(
    in context: ExecutionContext, _ rows: @Sendable (_ batch: Int, _ head: Int) throws -> [ScoreTally]
  ) throws -> [ScoreTally] {
    let parts = try Parallel.map(count: batch * queryHeads, threads: context.threads) { index in
      try rows(index / queryHeads, index % queryHeads)
    }
    return parts.flatMap { $0 }
  }
}

extension SoftmaxVariant {
  /// Those over the tiles of the inputs; not told of a variant that reads more than q, k and v and says no more.
  /// - Throws: what the pattern throws; `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    guard operands == Operand.standard else { return nil }
    return try TileStatistics(
      shape: shape, scale: scale, pattern: pattern(for: inputs, in: context)
    ).rows(of: inputs, in: context)
  }
}
