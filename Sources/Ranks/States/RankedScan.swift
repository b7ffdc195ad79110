import Attention
import AttentionCore
import Tensors

/// A recurrence over ranks: each scans its own rows, from the state that the rows before them have left.
///
/// Where states fade by factors, all ranks scan from nothing at once; a rank adds what comes in, faded by its own factors, to what it
/// sends on and to its states. Under the delta rule the columns of states come one after the other, and ranks work on different
/// ones. The way back is the same with the gradients of states, from the last rows to the first.
///
/// With S elements of a state over all heads and sequences a pass sends (P − 1)·S numbers in float32, all ranks together, whatever
/// the length; without causality P(P − 1)·S, since every rank gets the sum of all.
struct RankedScan: Sendable {
  let plan: ScanPlan
  let operands: [Operand]
  let communicator: any Communicator

  private var shape: AttentionShape { plan.shape }

  /// One of the own segments, with its way back.
  struct Done: Sendable {
    var index: Int
    var result: ScanPart.Result
    var pieceCounts: [Int]
  }

  /// The own segments, with their places in the plan.
  private var own: [(index: Int, segment: ScanPlan.Segment)] {
    plan.segments.enumerated().filter { $1.rank == plan.rank }.map { (index: $0, segment: $1) }
  }

  // MARK: - Passes

  /// The output of the own rows, and what the way back needs.
  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> (output: Tensor, done: [Done]) {
    let parts = try own.map { index, segment in
      let part = ScanPart(try plan.shape(of: segment), plan.recurrence)
      let relay = try SegmentRelay(
        plan, index, counts: part.pieceCounts, isBack: false, over: communicator, ledger: context.ledger)
      return (index: index, segment: segment, part: part, relay: relay)
    }
    var done: [Done] = [], outputs: [(Tensor, ScanPlan.Segment)] = []
    for (index, segment, part, relay) in parts {
      let result = try refusing(segment) {
        let result = try part.forward(
          try inputs.narrowed(to: segment, operands, context), through: relay, in: context)
        // Rows of q are padding only where they stand at keys.
        if shape.queryLength != shape.keyLength, let row = result.cleared.first {
          let row = part.shape.definitionRow(row)
          throw StateOverflow(batch: row.batch, head: row.head, query: row.query)
        }
        return result
      }
      done.append(Done(index: index, result: result, pieceCounts: part.pieceCounts))
      outputs.append((result.output, segment))
    }
    for part in parts { try part.relay.finish() }
    let rows = plan.queries.rows[plan.rank].count
    let extents = [shape.batch, shape.queryHeads, rows, shape.valueDim]
    return (try joined(outputs, \.queries, extents, context), done)
  }

  /// The gradients of the own rows, and this rank's shares of those that all rows have in common.
  func backward(_ outputGradient: Tensor, _ done: [Done], in context: ExecutionContext) throws -> Operands {
    let parts = try done.reversed().map { part in
      (
        part,
        try SegmentRelay(
          plan, part.index, counts: part.pieceCounts, isBack: true, over: communicator, ledger: context.ledger
        )
      )
    }
    var found: [(gradient: Operands, segment: ScanPlan.Segment)] = []
    for (part, relay) in parts {
      let segment = plan.segments[part.index]
      let given = try outputGradient.rows(segment.queries, context)
      found.append((try part.result.backward(given, through: relay, in: context), segment))
    }
    for (_, relay) in parts { try relay.finish() }
    return try gathered(found, context)
  }

  /// Names the row by its place in the whole sequence.
  private func refusing<R>(_ segment: ScanPlan.Segment, _ body: () throws -> R) throws -> R {
    do { return try body() } catch let error as StateOverflow {
      let place = segment.queries.lowerBound + error.query
      guard segment.queries.contains(place) else { throw error }
      throw StateOverflow(
        batch: error.batch, head: error.head, query: plan.queries.rows[plan.rank].row(at: place))
    }
  }

  // MARK: - Rows of segments

  /// Rows of segments as those of the rank.
  private func joined(
    _ parts: [(Tensor, ScanPlan.Segment)], _ rows: KeyPath<ScanPlan.Segment, Range<Int>>, _ extents: [Int],
    _ context: ExecutionContext
  ) throws -> Tensor {
    let real = parts.filter { !$0.1[keyPath: rows].isEmpty }
    guard let first = real.first else { return try context.zeros(extents) }
    if real.count == 1, first.0.shape == extents { return first.0 }
    return try Tensor.joined(
      real.map { (tensor: $0.0, rows: RowRuns([$0.1[keyPath: rows]])) }, ledger: context.ledger)
  }

  private func gathered(
    _ found: [(gradient: Operands, segment: ScanPlan.Segment)], _ context: ExecutionContext
  ) throws -> Operands {
    func gradient(_ operand: Operand) throws -> Tensor {
      let parts = found.compactMap { part in part.gradient[operand.name].map { ($0, part.segment) } }
      var extents = operand.extents(at: shape)
      guard let axis = operand.rowAxis else {
        var sum = try context.zeros(extents)
        for (part, _) in parts { context.accumulate(part, into: &sum) }
        return sum
      }
      let isQuery = operand.axes[axis] == .queries
      extents[axis] = (isQuery ? plan.queries : plan.keys).rows[plan.rank].count
      return try joined(parts, isQuery ? \.queries : \.keys, extents, context)
    }
    var result = Operands(
      query: try gradient(.query), key: try gradient(.key), value: try gradient(.value))
    for operand in operands where !operand.isStandard && operand.hasGradient {
      result[operand.name] = try gradient(operand)
    }
    return result
  }
}

extension Operand {
  /// Which axis counts rows of q or of k; `nil`: none does.
  var rowAxis: Int? { axes.firstIndex { $0 == .queries || $0 == .keys } }
}

extension Operands {
  /// The rows of a segment, among those of its rank.
  fileprivate func narrowed(
    to segment: ScanPlan.Segment, _ operands: [Operand], _ context: ExecutionContext
  ) throws -> Operands {
    var result = self
    for operand in Operand.all(operands) {
      guard let axis = operand.rowAxis, let tensor = self[operand.name] else { continue }
      let isQuery = operand.axes[axis] == .queries
      result[operand.name] = try tensor.rows(isQuery ? segment.queries : segment.keys, context)
    }
    return result
  }
}

extension Tensor {
  /// Rows of `[batch, heads, rows, dim]`; one of zeros in place of none.
  fileprivate func rows(_ rows: Range<Int>, _ context: ExecutionContext) throws -> Tensor {
    if rows.isEmpty { return try context.zeros([shape[0], shape[1], 1, shape[3]]) }
    return rows.count == shape[2] ? self : narrowed(axis: 2, to: rows)
  }
}
