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
public struct RankedAttention: Sendable {
  /// The variant for the whole sequence.
  public let variant: any PatternVariant
  let plan: RankPlan
  let communicator: any Communicator

  /// Plans for a variant of the whole sequence.
  /// - Throws: `ConfigurationError` for a variant whose result is not that of q, k, v and a fixed pattern.
  public init(
    _ variant: any AttentionVariant, over communicator: any Communicator, options: RankOptions = RankOptions()
  ) throws(ConfigurationError) {
    guard let fixed = variant as? any PatternVariant, variant.operandsRead == Operand.standard else {
      throw ConfigurationError(
        field: "ranks", value: "\(communicator.count) with \(variant.card.id)",
        allowed: "variants whose pattern does not depend on their inputs and that read q, k and v alone")
    }
    self.variant = fixed
    self.communicator = communicator
    plan = RankPlan(fixed, rank: communicator.rank, count: communicator.count, options: options)
  }

  /// The sizes of the whole problem.
  public var shape: AttentionShape { plan.shape }
  /// Which rows of q, and of the output, every rank holds.
  public var queries: SequenceLayout { plan.queries }
  /// Which rows of k and v every rank holds.
  public var keys: SequenceLayout { plan.keys }

  /// This rank's part of inputs that are there whole.
  /// - Throws: `MemoryLimitExceeded`.
  public func part(of inputs: Operands, ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) -> Operands {
    Operands(
      query: try queries.part(of: inputs.query, rank: plan.rank, ledger: ledger),
      key: try keys.part(of: inputs.key, rank: plan.rank, ledger: ledger),
      value: try keys.part(of: inputs.value, rank: plan.rank, ledger: ledger))
  }

  /// This rank's rows of the output and the LSE, with the way back to its rows of q, k and v. All ranks call it, and its
  /// way back, together.
  /// - Parameters:
  ///   - inputs: this rank's rows.
  ///   - context: how it is computed.
  /// - Throws: `RankFailure`, `ScoreOverflow`, `MemoryLimitExceeded`, `CancellationRequested`, `UnmergeableRow`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    guard plan.count > 1 else { return try variant.attend(inputs, in: context) }
    check(inputs)
    if plan.options.road == .heads { return try forwardByHeads(inputs, in: context) }
    return try together {
      let pass = RankPass(plan: plan, communicator: communicator, inputs: inputs, context: context)
      let result = try pass.forward()
      try refuse(result.lse)
      let (output, lse, moved) = (result.output, result.lse, result.movedQueries)
      return Forward(output: output, lse: lse) { outputGradient, context in
        try together {
          try RankPass(plan: plan, communicator: communicator, inputs: inputs, context: context).backward(
            outputGradient, output: output, lse: lse, movedQueries: moved)
        }
      }
    }
  }

  private func forwardByHeads(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    try together {
      let pass = HeadExchange(plan: plan, communicator: communicator, context: context)
      let (output, lse, kept) = try pass.forward(inputs)
      try refuse(lse)
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
    let (queryRows, keyRows) = (plan.queries.rows[plan.rank].count, plan.keys.rows[plan.rank].count)
    precondition(
      inputs.query.shape == [shape.batch, shape.queryHeads, queryRows, shape.headDim]
        && inputs.key.shape == [shape.batch, shape.keyHeads, keyRows, shape.headDim]
        && inputs.value.shape == [shape.batch, shape.keyHeads, keyRows, shape.valueDim],
      "rank \(plan.rank): q \(inputs.query.shape), k \(inputs.key.shape), v \(inputs.value.shape); "
        + "\(queryRows) rows of q and \(keyRows) keys expected")
  }

  /// Refuses rows whose scores single precision does not hold, and those whose LSE is too large to merge parts by.
  private func refuse(_ lse: Tensor) throws {
    let rows = plan.queries.rows[plan.rank], values = lse.array(), merges = plan.options.road == .keys
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
