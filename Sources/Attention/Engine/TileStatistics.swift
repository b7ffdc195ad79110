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

/// Statistics of rows over the pairs of a pattern, pair by pair: no weight is kept.
///
/// A row holds its largest score m, `Z = Σ e^{s−m}` and `T = Σ e^{s−m} (s − m)`; a larger m' takes their place by
/// `T' = e^{m−m'} (T + (m − m') Z)`. Then `lse = m + log Z` and `H = log Z − T/Z`, whatever the size of m.
/// - Complexity: O(executed pairs · headDim) time, O(rows) memory.
struct TileStatistics: Sendable {
  let shape: AttentionShape
  let scale: Double
  let pattern: TilePattern
  /// What is added to a head's score at a distance `i − j`; `nil`: nothing.
  var bias: (@Sendable (_ head: Int, _ distance: Int) -> Double)?

  /// Statistics of all rows.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func rows(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics {
    let wide = try inputs.converted(to: .float32, ledger: context.ledger)
    let (query, key) = (wide.query.rows(), wide.key.rows())
    let heads = shape.queryHeads
    let parts = try Parallel.map(count: shape.batch * heads, threads: context.threads) { index in
      try rows(index / heads, index % heads, query, key, context.cancellation)
    }
    return parts.reduce(into: RowStatistics()) { $0.append($1) }
  }

  private struct Row {
    var pairs = 0
    var largest = -Double.infinity
    var sum = 0.0
    var weighted = 0.0

    mutating func add(_ score: Double) {
      pairs += 1
      guard score > largest else {
        let weight = exp(score - largest)
        sum += weight
        weighted += weight * (score - largest)
        return
      }
      let shrink = exp(largest - score)
      // Of nothing, −∞ · 0.
      weighted = sum > 0 ? shrink * (weighted + (largest - score) * sum) : 0
      sum = sum * shrink + 1
      largest = score
    }

    var lse: Double { sum > 0 ? largest + log(sum) : -.infinity }
    var entropy: Double { sum > 0 ? max(0, log(sum) - weighted / sum) : 0 }
  }

  private func rows(
    _ batch: Int, _ head: Int, _ query: Rows, _ key: Rows, _ cancellation: Cancellation?
  ) throws -> RowStatistics {
    var found = [Row](repeating: Row(), count: shape.queryLength)
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
            let product = NormalizedRows.dot(q, key.row(batch, keyHead, j), shape.headDim)
            found[row].add(shape.capped(scale * Double(product) + (bias?(head, position - j) ?? 0)).score)
          }
        }
      }
    }
    var result = RowStatistics()
    for row in found {
      result.append(pairs: row.pairs, largestScore: row.largest, lse: row.lse, entropy: row.entropy)
    }
    return result
  }
}

extension SoftmaxVariant {
  /// Those over the tiles of the inputs; not told of a variant that reads more than q, k and v.
  /// - Throws: what the pattern throws; `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    guard operands == Operand.standard else { return nil }
    return try TileStatistics(
      shape: shape, scale: scale, pattern: pattern(for: inputs, in: context)
    ).rows(of: inputs, in: context)
  }
}
