import Attention
import AttentionCore
import Tensors

/// Attention over ranks in which rows and heads change places: every rank gets all rows of some heads, computes them as one process
/// does, and sends the rows of the output back.
///
/// Elements that a rank sends forward: `(P − 1)/P · N/P · (D_q + D_k + D_v + D_o + H)`, with `D` elements of a row over all heads and H
/// log-sum-exps; a key head that query heads of several ranks read goes to all of them, and its gradients are added up at home.
/// Less than keys that travel where `P > 1 + D_q/D_kv`; but all of a rank's rows are of the whole length: its memory is that of
/// H/P heads.
/// - Source: Jacobs et al., 2023 (DeepSpeed-Ulysses).
struct HeadExchange {
  let plan: RankPlan
  let communicator: any Communicator
  let context: ExecutionContext

  private var shape: AttentionShape { plan.shape }
  private var ledger: MemoryLedger? { context.ledger }

  /// The query heads of a rank, and the key heads that they read.
  static func heads(of rank: Int, _ count: Int, _ shape: AttentionShape) -> (
    query: Range<Int>, key: Range<Int>
  ) {
    let query = shape.queryHeads * rank / count..<shape.queryHeads * (rank + 1) / count
    guard let first = query.first, let last = query.last else { return (query, 0..<0) }
    return (query, shape.keyHead(of: first)..<shape.keyHead(of: last) + 1)
  }

  private func heads(of rank: Int) -> (query: Range<Int>, key: Range<Int>) {
    HeadExchange.heads(of: rank, plan.count, shape)
  }

  private func all(_ layout: SequenceLayout) -> RowRuns { RowRuns(all: layout.length) }

  // MARK: - Rows and heads change places

  /// All rows of this rank's heads, from every rank's rows of all heads.
  /// - Parameter heads: the heads that a rank gets.
  private func allRows(
    of own: Tensor, _ layout: SequenceLayout, _ heads: (Int) -> Range<Int>
  ) throws -> Tensor {
    let dim = own.shape[3], mine = heads(plan.rank).count
    let parts = try exchanged(
      own.precision,
      sending: { own.narrowed(axis: 1, to: heads($0)) },
      receiving: { [shape.batch, mine, layout.rows[$0].count, dim] })
    return try Tensor.joined(Array(zip(parts, layout.rows)), ledger: ledger)
  }

  /// This rank's rows of all heads, from every rank's rows of its heads; heads that several ranks have are added up.
  private func ownRows(
    of whole: Tensor, _ layout: SequenceLayout, _ heads: (Int) -> Range<Int>, count: Int
  ) throws -> Tensor {
    let dim = whole.shape[3], rows = layout.rows[plan.rank]
    let parts = try exchanged(
      .float32,
      sending: { other in
        let extents = [shape.batch, whole.shape[1], layout.rows[other].count, dim]
        return try Tensor.packed([whole], rows: layout.rows[other], ledger: ledger).reshaped(extents)
      },
      receiving: { [shape.batch, heads($0).count, rows.count, dim] })
    var sum = try Tensor(zeros: [shape.batch, count, rows.count, dim], ledger: ledger)
    for (rank, part) in parts.enumerated() {
      sum.add(part, toRows: RowRuns(all: rows.count), fromHead: heads(rank).lowerBound)
    }
    return sum
  }

  /// A tensor to every rank, and one from each, its own included; nothing is sent where there are no elements.
  private func exchanged(
    _ precision: Precision, sending: (Int) throws -> Tensor, receiving: (Int) -> [Int]
  ) throws -> [Tensor] {
    let rank = plan.rank
    let incoming = try (0..<plan.count).map { other -> (any PendingReceive)? in
      let elements = receiving(other).reduce(1, *)
      guard other != rank, elements > 0 else { return nil }
      return try communicator.receive(elements, precision, from: other, tag: .exchange, ledger: ledger)
    }
    var sends: [any PendingSend] = []
    for distance in 1..<plan.count {
      let message = try sending((rank + distance) % plan.count)
      guard message.count > 0 else { continue }
      let block = try message.isContiguous ? message : message.copied(ledger: ledger)
      sends.append(try communicator.send(block, to: (rank + distance) % plan.count, tag: .exchange))
    }
    let parts = try incoming.enumerated().map { other, pending in
      if other == rank { return try sending(rank) }
      guard let pending else {
        return try Tensor(uninitialized: receiving(other), precision: precision, ledger: ledger)
      }
      return try pending.wait().reshaped(receiving(other))
    }
    for send in sends { try send.wait() }
    return parts
  }

  // MARK: - Passes

  /// What this rank computes: all rows of its heads, a call of the engine for every key head.
  private struct Call {
    var query: Range<Int>, key: Range<Int>
    var shape: AttentionShape
    var patterns: RankPlan.PassPatterns
  }

  /// Calls whose query heads are places in this rank's heads. Each has one key head, so that groups of query heads that ranks
  /// cut still read the right one.
  private func calls() throws -> [Call] {
    let own = heads(of: plan.rank)
    return try own.key.map { keyHead in
      let group = keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize
      let heads = own.query.clamped(to: group)
      let place = heads.lowerBound - own.query.lowerBound
      let key = keyHead - own.key.lowerBound
      var call = shape
      (call.queryHeads, call.keyHeads, call.scale) = (heads.count, 1, plan.scale)
      try call.validate()
      return Call(
        query: place..<place + heads.count, key: key..<key + 1, shape: call,
        patterns: plan.own.narrowed(toHeads: heads, of: shape))
    }
  }

  /// Output and LSE of the own rows, and what the way back needs.
  func forward(_ own: Operands) throws -> (output: Tensor, lse: Tensor, kept: Kept) {
    let inputs = Operands(
      query: try allRows(of: own.query, plan.queries) { heads(of: $0).query },
      key: try allRows(of: own.key, plan.keys) { heads(of: $0).key },
      value: try allRows(of: own.value, plan.keys) { heads(of: $0).key })
    let count = heads(of: plan.rank).query.count
    var output = try Tensor(zeros: [shape.batch, count, shape.queryLength, shape.valueDim], ledger: ledger)
    var lse = try Tensor(zeros: [shape.batch, count, shape.queryLength, 1], ledger: ledger)
    for call in try calls() {
      let part = try Engine.forward(
        query: inputs.query.narrowed(axis: 1, to: call.query),
        key: inputs.key.narrowed(axis: 1, to: call.key),
        value: inputs.value.narrowed(axis: 1, to: call.key), shape: call.shape, scale: plan.scale,
        pattern: call.patterns.forward, in: context)
      output.add(part.output, toRows: all(plan.queries), fromHead: call.query.lowerBound)
      lse.add(
        part.lse.reshaped(part.lse.shape + [1]), toRows: all(plan.queries), fromHead: call.query.lowerBound)
    }
    let kept = Kept(inputs: inputs, output: output, lse: lse)
    let ownOutput = try ownRows(of: output, plan.queries, { heads(of: $0).query }, count: shape.queryHeads)
    let ownLSE = try ownRows(of: lse, plan.queries, { heads(of: $0).query }, count: shape.queryHeads)
    return (ownOutput, ownLSE.reshaped(Array(ownLSE.shape.dropLast())), kept)
  }

  /// All rows of this rank's heads.
  struct Kept: Sendable {
    var inputs: Operands
    var output: Tensor, lse: Tensor
  }

  /// Gradients of the own rows.
  func backward(_ outputGradient: Tensor, _ kept: Kept) throws -> Operands {
    let gradient = try allRows(of: outputGradient, plan.queries) { heads(of: $0).query }
    let own = heads(of: plan.rank)
    func zeros(_ heads: Int, _ rows: Int, _ dim: Int) throws -> Tensor {
      try Tensor(zeros: [shape.batch, heads, rows, dim], ledger: ledger)
    }
    var sum = Operands(
      query: try zeros(own.query.count, shape.queryLength, shape.headDim),
      key: try zeros(own.key.count, shape.keyLength, shape.headDim),
      value: try zeros(own.key.count, shape.keyLength, shape.valueDim))
    let lse = kept.lse.reshaped(Array(kept.lse.shape.dropLast()))
    for call in try calls() {
      let part = try Engine.backward(
        outputGradient: gradient.narrowed(axis: 1, to: call.query),
        query: kept.inputs.query.narrowed(axis: 1, to: call.query),
        key: kept.inputs.key.narrowed(axis: 1, to: call.key),
        value: kept.inputs.value.narrowed(axis: 1, to: call.key),
        output: kept.output.narrowed(axis: 1, to: call.query), lse: lse.narrowed(axis: 1, to: call.query),
        shape: call.shape, scale: plan.scale, pattern: call.patterns.backward, in: context)
      sum.query.add(part.query, toRows: all(plan.queries), fromHead: call.query.lowerBound)
      sum.key.add(part.key, toRows: all(plan.keys), fromHead: call.key.lowerBound)
      sum.value.add(part.value, toRows: all(plan.keys), fromHead: call.key.lowerBound)
    }
    return Operands(
      query: try ownRows(of: sum.query, plan.queries, { heads(of: $0).query }, count: shape.queryHeads),
      key: try ownRows(of: sum.key, plan.keys, { heads(of: $0).key }, count: shape.keyHeads),
      value: try ownRows(of: sum.value, plan.keys, { heads(of: $0).key }, count: shape.keyHeads))
  }
}
