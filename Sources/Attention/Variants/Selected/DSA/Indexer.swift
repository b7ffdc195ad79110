import AttentionCore
import Basics
import Tensors

/// The lightning indexer: `I_ts = Σ_h w_th · ReLU(q^I_th·k^I_s)/√(heads·dim)`, one score of a query and a key for all heads of attention.
///
/// q^I `[batch, n, heads·dim]`, k^I `[batch, keys, dim]`, w `[batch, n, heads]`.
/// - Complexity: O(n²·heads·dim), O(64·n) memory a thread.
struct Indexer: Sendable {
  let shape: AttentionShape
  let heads: Int, dim: Int

  /// The factor on `w · ReLU(q·k)`: both of their factors in DeepSeek's code.
  var scale: Float { 1 / Float(heads * dim).squareRoot() }

  /// `[batch, n, width]` as rows of one head.
  static func rows(_ x: Tensor) -> Tensor { x.reshaped([x.shape[0], 1, x.shape[1], x.shape[2]]) }

  /// The keys of the largest scores of every row, the same for all heads.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func chosen(_ count: Int, _ inputs: IndexerInputs, in context: ExecutionContext) throws -> RowChoice {
    let choice = try RowChoice(
      min(count, shape.keyLength), batch: shape.batch, heads: 1, length: shape.queryLength,
      sharedBy: shape.queryHeads, in: context)
    var alone = context
    alone.threads = 1
    let single = alone
    var one = shape
    (one.queryHeads, one.keyHeads) = (1, 1)
    let weights = inputs.weight.rows()
    try one.forEachRowBlock(in: context) { batch, _, rows, _ in
      // What the last of the rows sees; the others see less.
      let valid = shape.visibleKeys(batch: batch, row: rows.upperBound - 1)
      guard valid > 0 else { return }
      let k = inputs.key.matrix(batch, 0).narrowed(axis: 0, to: 0..<valid)
      let q = inputs.query.matrix(batch, 0).narrowed(axis: 0, to: rows)
      var sums = try single.zeros([rows.count, valid])
      let scores = sums.pinnedForWriting()
      for head in 0..<heads {
        let own = q.narrowed(axis: 1, to: head * dim..<(head + 1) * dim).contiguous()
        let products = try single.matmul(own, .plain, k, .transposed), z = products.pinned()
        for row in 0..<rows.count {
          let w = scale * weights.row(batch, 0, rows.lowerBound + row)[head]
          let (target, source) = (scores + row * valid, z + row * valid)
          for key in 0..<valid { target[key] += w * max(source[key], 0) }
        }
      }
      for row in rows {
        choice.choose(
          scores + (row - rows.lowerBound) * valid, of: 0..<shape.visibleKeys(batch: batch, row: row),
          into: choice.slots(batch, 0, row))
      }
    }
    return choice
  }

  /// Operations of the scores of all pairs that rows see.
  func operations(of pass: PassKind) -> Double {
    let pairs = shape.validKeyCounts.reduce(0) { $0 + shape.prefixPairs(validKeys: $1) }
    return 2 * Double(heads * (dim + 1)) * pairs * (pass == .decode ? 1 / Double(shape.queryLength) : 1)
  }

  /// Bytes of a thread's scores and products of 64 rows.
  var scratchBytes: Double {
    let rows = min(AttentionShape.rowBlock, shape.queryLength)
    let plan = GemmPlan(
      m: rows, n: shape.keyLength, k: dim, isa: ExecutionContext(threads: 1).instructionSet.code, workers: 1)
    return 4 * Double(rows * (2 * shape.keyLength + dim) + plan.packedCount + plan.scratchCount)
  }
}

/// What an indexer reads, each as rows of one head.
struct IndexerInputs: Sendable {
  let query: Tensor, key: Tensor, weight: Tensor

  /// Takes them from the operands of a call.
  init(_ inputs: Operands) {
    guard let query = inputs[DSA.indexerQuery], let key = inputs[DSA.indexerKey],
      let weight = inputs[DSA.indexerWeight]
    else { preconditionFailure("dsa reads indexer_query, indexer_key and indexer_weight") }
    (self.query, self.key, self.weight) = (Indexer.rows(query), Indexer.rows(key), Indexer.rows(weight))
  }
}
