import Attention
import AttentionCore
import Settings
import Tensors

/// Attention over a sequence that is spread over ranks: each holds some rows of q, k and v, and gets those of the output.
///
/// What a rank computes is what one process computes: `o_i = Σ_j m_ij e^{s_ij} v_j / Σ_j m_ij e^{s_ij}` over the pairs of the variant's
/// pattern, positions being those of the whole sequence. Keys that its rows see, and no others, come from other ranks piece
/// by piece, while it computes; of the rows against a piece it keeps a float32 result that it merges by LSE
/// (`Engine.merge`), in a fixed order: its own keys, then those of moved queries, then pieces of the ranks after it, around the
/// circle. So results have the same bits whatever arrives when, and on any number of threads; of the number of ranks they depend
/// through the borders of parts and of pieces alone.
///
/// Backward, pieces come again (nobody keeps another's keys), and the gradients of a piece go home to its rank, which adds them
/// in the same order.
/// - Memory: the rank's rows of q, k, v and the output, two pieces that come and two that go, and the results of
///   `rowsAtOnce` rows.
/// - Source: Liu et al., 2023 (ring attention); Brandon et al., 2023 (striped), and Zhu, 2024 (zigzag), for causal ones.
///
/// Of a recurrence rows stay where they are, and states move (`RankedScan`).
public struct RankedAttention: Sendable {
  /// The variant for the whole sequence.
  public let variant: any AttentionVariant
  let plan: Plan
  let communicator: any Communicator

  /// What moves.
  enum Plan {
    case pairs(RankPlan)
    case states(RankedScan)
  }

  /// Plans for a variant of the whole sequence.
  /// - Throws: `ConfigurationError` for a variant whose result is neither that of q, k, v and a fixed pattern nor a recurrence's.
  public init(
    _ variant: any AttentionVariant, over communicator: any Communicator, options: RankOptions = RankOptions()
  ) throws(ConfigurationError) {
    self.variant = variant
    self.communicator = communicator
    let (rank, count) = (communicator.rank, communicator.count)
    if let recurrent = variant as? any RecurrentVariant {
      plan = .states(
        RankedScan(
          plan: try ScanPlan(recurrent, rank: rank, count: count, options: options),
          operands: variant.operands, communicator: communicator))
      return
    }
    guard let fixed = variant as? any PatternVariant, variant.operandsRead == Operand.standard else {
      throw ConfigurationError(
        field: "ranks", value: "\(count) with \(variant.card.id)",
        allowed:
          "recurrences, and variants whose pattern does not depend on their inputs and that read q, k and v alone"
      )
    }
    plan = .pairs(RankPlan(fixed, rank: rank, count: count, options: options))
  }

  /// The sizes of the whole problem.
  public var shape: AttentionShape { variant.shape }
  /// Which rows of q, and of the output, every rank holds.
  public var queries: SequenceLayout {
    switch plan {
    case .pairs(let plan): plan.queries
    case .states(let scan): scan.plan.queries
    }
  }
  /// Which rows of k and v every rank holds.
  public var keys: SequenceLayout {
    switch plan {
    case .pairs(let plan): plan.keys
    case .states(let scan): scan.plan.keys
    }
  }

  /// This rank's part of inputs that are there whole: what has no rows every rank has whole.
  /// - Throws: `MemoryLimitExceeded`.
  public func part(of inputs: Operands, ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) -> Operands {
    var own = inputs
    for operand in Operand.all(variant.operands) {
      guard let axis = operand.rowAxis, let tensor = inputs[operand.name] else { continue }
      let layout = operand.axes[axis] == .queries ? queries : keys
      own[operand.name] = try layout.part(of: tensor, rank: communicator.rank, ledger: ledger)
    }
    return own
  }

  /// This rank's rows of the output and the LSE, with the way back to its rows of q, k and v. All ranks call it, and its
  /// way back, together. Of what has no rows, such as a learned decay, the way back gives this rank's share, and the sum over ranks is the gradient.
  /// - Parameters:
  ///   - inputs: this rank's rows.
  ///   - context: how it is computed.
  /// - Throws: `RankFailure`, `ScoreOverflow`, `StateOverflow`, `MemoryLimitExceeded`, `CancellationRequested`, `UnmergeableRow`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    guard communicator.count > 1 else { return try variant.attend(inputs, in: context) }
    check(inputs)
    switch plan {
    case .states(let scan): return try forward(by: scan, inputs, in: context)
    case .pairs(let plan) where plan.options.road == .heads:
      return try forwardByHeads(plan, inputs, in: context)
    case .pairs(let plan): return try forward(plan, inputs, in: context)
    }
  }

  private func forward(by scan: RankedScan, _ inputs: Operands, in context: ExecutionContext) throws
    -> Forward
  {
    try together {
      let (output, done) = try scan.forward(inputs, in: context)
      return Forward(output: output, lse: nil) { outputGradient, context in
        try together { try scan.backward(outputGradient, done, in: context) }
      }
    }
  }

  private func forward(_ plan: RankPlan, _ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    try together {
      let pass = RankPass(plan: plan, communicator: communicator, inputs: inputs, context: context)
      let result = try pass.forward()
      try refuse(result.lse, merges: true)
      let (output, lse, moved) = (result.output, result.lse, result.movedQueries)
      return Forward(output: output, lse: lse) { outputGradient, context in
        try together {
          try RankPass(plan: plan, communicator: communicator, inputs: inputs, context: context).backward(
            outputGradient, output: output, lse: lse, movedQueries: moved)
        }
      }
    }
  }

  private func forwardByHeads(
    _ plan: RankPlan, _ inputs: Operands, in context: ExecutionContext
  ) throws -> Forward {
    try together {
      let pass = HeadExchange(plan: plan, communicator: communicator, context: context)
      let (output, lse, kept) = try pass.forward(inputs)
      try refuse(lse, merges: false)
      return Forward(output: output, lse: lse) { outputGradient, context in
        try together {
          try HeadExchange(plan: plan, communicator: communicator, context: context).backward(
            outputGradient, kept)
        }
      }
    }
  }

  /// Whoever cannot go on tells the others, which would wait for it.
  private func together<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch {
      if !(error is RankFailure) { communicator.fail("\(error)") }
      throw error
    }
  }

  private func check(_ inputs: Operands) {
    let rank = communicator.rank
    let (queryRows, keyRows) = (queries.rows[rank].count, keys.rows[rank].count)
    precondition(
      inputs.query.shape == [shape.batch, shape.queryHeads, queryRows, shape.headDim]
        && inputs.key.shape == [shape.batch, shape.keyHeads, keyRows, shape.headDim]
        && inputs.value.shape == [shape.batch, shape.keyHeads, keyRows, shape.valueDim],
      "rank \(rank): q \(inputs.query.shape), k \(inputs.key.shape), v \(inputs.value.shape); "
        + "\(queryRows) rows of q and \(keyRows) keys expected")
  }

  /// Refuses rows whose scores single precision does not hold, and those whose LSE is too large to merge parts by.
  private func refuse(_ lse: Tensor, merges: Bool) throws {
    let rows = queries.rows[communicator.rank], values = lse.array()
    guard
      let index = values.firstIndex(where: {
        !($0 < .infinity) || (merges && $0.isFinite && $0.magnitude > Engine.largestMergedLSE)
      })
    else { return }
    let head = index / rows.count % shape.queryHeads, batch = index / rows.count / shape.queryHeads
    let row = rows.row(at: index % rows.count)
    guard values[index].isFinite else {
      throw ScoreOverflow(batch: batch, head: head, query: row, key: nil, score: 0)
    }
    throw UnmergeableRow(batch: batch, head: head, query: row, lse: values[index])
  }
}

/// A row whose log-sum-exp is too large to put its parts together by in single precision.
public struct UnmergeableRow: Error, Hashable, Sendable, CustomStringConvertible {
  /// Where it stands.
  public let batch: Int, head: Int, query: Int
  /// Its log-sum-exp.
  public let lse: Float

  /// One line.
  public var description: String {
    "the log-sum-exp of query \(query) (batch \(batch), head \(head)) is \(lse): ranks put rows together up to "
      + "±\(Engine.largestMergedLSE); scale the inputs down, or use one rank"
  }
}
