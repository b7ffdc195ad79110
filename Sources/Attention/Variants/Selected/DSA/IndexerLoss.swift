import AttentionCore
import Basics
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What an indexer learns of: `Σ_t KL(p_t ‖ softmax_s(I_ts))`, p the mean of the weights of all heads, over the keys that a row sees.
///
/// `∂/∂I_ts = softmax(I)_ts − p_ts`; q, k and v get nothing of it, and rows of q that are padding give nothing. Row by row, so that
/// no weights of n² pairs are held.
/// - Complexity: O(pairs · (heads · headDim + indexer heads · dim)) time, O(keys) memory a thread.
struct IndexerLoss: Sendable {
  let indexer: Indexer
  let scale: Double
  /// The keys of a row; `nil`: all that it sees.
  let choice: RowChoice?

  private var shape: AttentionShape { indexer.shape }

  /// The gradients of what the indexer reads, `factor` times that of the sum over rows; and that sum.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func gradients(
    _ inputs: Operands, factor: Float, in context: ExecutionContext
  ) throws -> (gradient: [Operand.Name: Tensor], loss: Double) {
    let width = indexer.heads * indexer.dim
    var query = try context.zeros([shape.batch, shape.queryLength, width])
    var key = try context.zeros([shape.batch, shape.keyLength, indexer.dim])
    var weight = try context.zeros([shape.batch, shape.queryLength, indexer.heads])
    // Without a factor nobody learns of it.
    guard factor != 0 else {
      return ([DSA.indexerQuery: query, DSA.indexerKey: key, DSA.indexerWeight: weight], 0)
    }
    let own = IndexerInputs(inputs), capacity = choice?.count ?? shape.keyLength
    // Rows of a sequence add to the same keys: one after the other.
    let workers = min(context.threads, shape.batch)
    var room = try context.empty([workers * (3 + indexer.heads) * capacity])
    let rows = Pass(
      loss: self, attention: (inputs.query.rows(), inputs.key.rows()),
      indexer: (own.query.rows(), own.key.rows(), own.weight.rows()), factor: factor)
    let view = room.pinnedForWriting()
    let (dQuery, dKey, dWeight) = (
      query.pinnedForWriting(), key.pinnedForWriting(), weight.pinnedForWriting()
    )
    let sums = try PinnedView<Double>(repeating: 0, count: shape.batch, in: context.ledger)
    try Parallel.forEach(count: shape.batch, threads: workers) { batch, worker in
      var sum = 0.0
      for row in 0..<shape.queryLength where !shape.isPaddedQuery(batch: batch, query: row) {
        try context.checkCancellation()
        sum += rows.add(
          batch, row, room: view + worker * (3 + indexer.heads) * capacity, capacity,
          dQuery: dQuery + (batch * shape.queryLength + row) * width,
          dKey: dKey + batch * shape.keyLength * indexer.dim,
          dWeight: dWeight + (batch * shape.queryLength + row) * indexer.heads)
      }
      sums[batch] = sum
    }
    return (
      [DSA.indexerQuery: query, DSA.indexerKey: key, DSA.indexerWeight: weight],
      (0..<shape.batch).reduce(0) { $0 + sums[$1] }
    )
  }

  private struct Pass: Sendable {
    let loss: IndexerLoss
    let attention: (query: Rows, key: Rows)
    let indexer: (query: Rows, key: Rows, weight: Rows)
    let factor: Float

    /// Adds the gradients of one row; returns its divergence.
    func add(
      _ batch: Int, _ row: Int, room: UnsafeMutablePointer<Float>, _ capacity: Int,
      dQuery: UnsafeMutablePointer<Float>, dKey: UnsafeMutablePointer<Float>,
      dWeight: UnsafeMutablePointer<Float>
    ) -> Double {
      let shape = loss.shape, dim = loss.indexer.dim, heads = loss.indexer.heads
      let chosen = loss.choice?.items(batch, 0, row)
      let count = chosen?.count ?? shape.visibleKeys(batch: batch, row: row)
      guard count > 0 else { return 0 }
      func key(_ place: Int) -> Int { chosen.map { Int($0[place]) } ?? place }
      let (mean, weights, scores) = (room, room + capacity, room + 2 * capacity),
        products = room + 3 * capacity
      mean.update(repeating: 0, count: count)
      for head in 0..<shape.queryHeads {
        let q = attention.query.row(batch, head, row), keyHead = shape.keyHead(of: head)
        let lse = RowSoftmax.weights(count: count, into: weights) {
          RowSoftmax.score(
            q, attention.key.row(batch, keyHead, key($0)), shape.headDim, scale: loss.scale)
        }
        guard lse.isFinite else { return 0 }
        for place in 0..<count { mean[place] += weights[place] / Float(shape.queryHeads) }
      }
      let (q, w) = (indexer.query.row(batch, 0, row), indexer.weight.row(batch, 0, row))
      scores.update(repeating: 0, count: count)
      for head in 0..<heads {
        for place in 0..<count {
          let z = NormalizedRows.dot(q + head * dim, indexer.key.row(batch, 0, key(place)), dim)
          products[head * capacity + place] = z
          scores[place] += loss.indexer.scale * w[head] * max(z, 0)
        }
      }
      guard RowSoftmax.weights(count: count, into: weights, score: { scores[$0] }).isFinite else { return 0 }
      var divergence = 0.0
      for place in 0..<count where mean[place] > 0 {
        divergence +=
          Double(mean[place]) * (log(Double(mean[place])) - log(Double(max(weights[place], 1e-37))))
      }
      for place in 0..<count {
        let slope = factor * loss.indexer.scale * (weights[place] - mean[place])
        let (k, dk) = (indexer.key.row(batch, 0, key(place)), dKey + key(place) * dim)
        for head in 0..<heads where products[head * capacity + place] > 0 {
          dWeight[head] += slope * products[head * capacity + place]
          let own = slope * w[head]
          let (from, to) = (q + head * dim, dQuery + head * dim)
          for t in 0..<dim {
            to[t] += own * k[t]
            dk[t] += own * from[t]
          }
        }
      }
      return divergence
    }
  }
}
