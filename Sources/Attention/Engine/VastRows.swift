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

/// Rows with scores so large that their log-sum-exp in single precision no longer tells how its keys are weighted.
///
/// At `|LSE| = 2¹⁶` a unit in the last place is 2⁻⁷, and `exp(score − LSE)` off by as much; at 2²⁴ it means nothing. The
/// forward pass works with differences from the row's maximum and needs no LSE until partial results of a row are combined;
/// the backward pass recomputes every weight from it. There such rows are computed one by one in Double, from their own
/// maximum.
/// - Complexity: O(keys · (headDim + valueDim)) a row, without vectors.
struct VastRows {
  /// The largest log-sum-exp of ordinary rows.
  static let limit: Float = 0x1p16

  let shape: AttentionShape
  let scale: Double
  let stages: PinnedStages
  let pattern: TilePattern
  let query: InputRows, key: InputRows, value: InputRows

  /// Whether a row with this log-sum-exp is one of them: not one without keys, nor one that will be refused.
  static func contains(_ lse: Float) -> Bool { lse.magnitude > limit && lse.isFinite }

  /// A row's keys, once for every time that they count, and their weights; what a logit has of the row is missing in their sum.
  struct Weights {
    var keys: [Int] = []
    var weights: [Double] = []
    /// The derivatives of scores under a soft cap.
    var slopes: [Double] = []
    var lse = -Double.infinity
  }

  /// The tiles in which rows of a (batch, head) stand, by row.
  private func tiles(of rows: Set<Int>, in list: TileList) -> [Int: [Int]] {
    var found: [Int: [Int]] = [:]
    for (index, tile) in list.tiles.enumerated() {
      for row in list.rows(of: tile) where rows.contains(row) { found[row, default: []].append(index) }
    }
    return found
  }

  /// Calls `body` with the weights of rows of a (batch, head) that have keys, rows in rising order.
  func forEach(_ rows: [Int], batch: Int, head: Int, _ body: (Int, Weights) -> Void) {
    let list = pattern.list(batch: batch, head: head)
    let tiles = tiles(of: Set(rows), in: list)
    for row in rows {
      let weights = weights(row, batch: batch, head: head, list, tiles: tiles[row] ?? [])
      if !weights.keys.isEmpty { body(row, weights) }
    }
  }

  private func weights(
    _ row: Int, batch: Int, head: Int, _ list: TileList, tiles: [Int]
  ) -> Weights {
    var result = Weights()
    let valid = shape.validKeys(batch: batch), position = row + shape.queryOffset
    for tile in tiles.map({ list.tiles[$0] }) {
      guard let lane = list.rows(of: tile).firstIndex(of: row) else { continue }
      for segment in list.segments(of: tile) {
        for (t, key) in list.keys(of: segment).enumerated()
        where key < valid && list.allows(segment.mask, lane: lane, position: position, t: t, key: key) {
          result.keys.append(key)
        }
      }
    }
    let q = query.doubles(batch, head, row, count: shape.headDim)
    let keyHead = shape.keyHead(of: head)
    let scores = result.keys.map { number in
      let product =
        stages.energy?.score(q, head) { key.element(batch, keyHead, number, $0) } ?? key.dot(
          q, batch, keyHead, number) * scale
      return shape.capped(product + stages.bias(head, distance: position - number))
    }
    (result.weights, result.slopes) = (scores.map(\.score), scores.map(\.slope))
    let logit = stages.logit(head, row, shape)
    guard let largest = (result.weights + (logit.map { [$0] } ?? [])).max() else { return result }
    result.weights = result.weights.map { exp($0 - largest) }
    let sum = result.weights.reduce(logit.map { exp($0 - largest) } ?? 0, +)
    result.weights = result.weights.map { $0 / sum }
    result.lse = largest + log(sum)
    return result
  }
}

extension InputRows {
  /// A row, up-converted.
  func doubles(_ batch: Int, _ head: Int, _ row: Int, count: Int) -> [Double] {
    (0..<count).map { element(batch, head, row, $0) }
  }

  /// `Σ_t x_t row_t` with a row.
  func dot(_ x: [Double], _ batch: Int, _ head: Int, _ row: Int) -> Double {
    x.indices.reduce(0.0) { $0 + x[$1] * element(batch, head, row, $1) }
  }
}

extension ForwardPlan {
  /// Whether some rows are combined from partial results by their log-sum-exp.
  var merges: Bool { phaseCount > 1 || lists.contains { $0.phases.contains { !$0.splitTiles.isEmpty } } }
}

extension ForwardPass {
  /// Computes rows anew that were combined from partial results by a log-sum-exp too large for it.
  func recomputeVastRows() {
    guard plan.merges || stages.logits != nil else { return }
    let vast = VastRows(
      shape: shape, scale: scale, stages: stages, pattern: plan.pattern, query: query, key: key, value: value)
    Parallel.forEach(count: shape.batch * shape.queryHeads, threads: context.threads) { index, _ in
      let (batch, head) = (index / shape.queryHeads, index % shape.queryHeads)
      let logSums = lse.head(batch, head)
      let rows = (0..<shape.queryLength).filter { VastRows.contains(logSums[$0 * lse.rowStride]) }
      guard !rows.isEmpty else { return }
      let keyHead = shape.keyHead(of: head)
      vast.forEach(rows, batch: batch, head: head) { row, weights in
        let target = output.row(batch, head, row)
        for t in 0..<shape.valueDim {
          var sum = 0.0
          for (key, weight) in zip(weights.keys, weights.weights) where weight > 0 {
            sum += weight * value.element(batch, keyHead, key, t)
          }
          target[t] = Float(sum)
        }
        logSums[row * lse.rowStride] = Float(weights.lse)
      }
    }
  }
}

extension BackwardPass {
  /// The LSE without vast rows, whose place is taken by rows without keys, and those rows of every (batch, head).
  static func withoutVastRows(
    _ lse: Tensor, _ shape: AttentionShape, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> (lse: Tensor, rows: [[Int]]) {
    let heads = shape.batch * shape.queryHeads
    let logSums = lse.rows()
    let rows = (0..<heads).map { index in
      let own = logSums.head(index / shape.queryHeads, index % shape.queryHeads)
      return (0..<shape.queryLength).filter { VastRows.contains(own[$0 * logSums.rowStride]) }
    }
    guard rows.contains(where: { !$0.isEmpty }) else { return (lse, []) }
    var kept = try lse.copied(ledger: ledger)
    let values = kept.pinnedForWriting()
    for (index, rows) in rows.enumerated() {
      for row in rows { values[index * shape.queryLength + row] = -.infinity }
    }
    return (kept, rows)
  }

  /// Adds the gradients of rows that took no part: `rows` of every (batch, head).
  /// - Parameter all: output and LSE over all of their keys.
  func addVastRows(_ rows: [[Int]], of all: SoftmaxRows) {
    guard !rows.isEmpty else { return }
    let vast = VastRows(
      shape: shape, scale: scale, stages: stages, pattern: pattern, query: query, key: key, value: value)
    let lse = all.lse.rows()
    // Query heads that share a key head add to the same rows: one after the other.
    Parallel.forEach(count: shape.batch * shape.keyHeads, threads: context.threads) { index, _ in
      let (batch, keyHead) = (index / shape.keyHeads, index % shape.keyHeads)
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        let own = rows[batch * shape.queryHeads + head]
        guard !own.isEmpty else { continue }
        vast.forEach(own, batch: batch, head: head) { row, weights in
          let whole = lse.head(batch, head)[row * lse.rowStride]
          let share = all.hasOtherKeys ? SoftmaxRows.share(of: weights.lse, in: whole) : 1
          if share > 0 { add(vast, batch, head, keyHead, row, weights, share: share) }
        }
      }
    }
  }

  private func add(
    _ vast: VastRows, _ batch: Int, _ head: Int, _ keyHead: Int, _ row: Int, _ weights: VastRows.Weights,
    share: Double
  ) {
    let source = outputGradient.row(batch, head, row)
    let gradient = (0..<shape.valueDim).map { Double(source[$0]) }
    let q = query.doubles(batch, head, row, count: shape.headDim)
    let pairs = zip(weights.keys, weights.weights.map { $0 * share }).filter { $1 > 0 }
    let slopes = zip(weights.slopes, weights.weights).filter { $1 * share > 0 }.map(\.0)
    let products = pairs.map { value.dot(gradient, batch, keyHead, $0.0) }
    let mean =
      share == 1
      ? zip(pairs, products).reduce(0.0) { $0 + $1.0.1 * $1.1 }
      : (0..<shape.valueDim).reduce(0.0) { $0 + gradient[$1] * Double(output.row(batch, head, row)[$1]) }
    let dq = queryGradient.row(batch, head, row)
    for (((key, weight), product), capSlope) in zip(zip(pairs, products), slopes) {
      let dv = valueGradient.row(batch, keyHead, key), dk = keyGradient.row(batch, keyHead, key)
      for t in 0..<shape.valueDim { dv[t] += Float(weight * gradient[t]) }
      // One key that has all the weight has no gradient of its score, not a rounding error times a vast key.
      let change = weight == 1 && share == 1 ? 0 : weight * (product - mean) * capSlope
      guard change != 0 else { continue }
      let slope = scale * change
      stages.add(change, to: dq, shape, head: head, distance: row + shape.queryOffset - key)
      if let w = stages.energy?.head(head) {
        for t in 0..<shape.headDim {
          let ratio = tanh(q[t] + self.key.element(batch, keyHead, key, t))
          let change = Float(slope * Double(w[t]) * (1 - ratio * ratio))
          dk[t] += change
          dq[t] += change
          dq[shape.headDim + t] += Float(slope * ratio)
        }
        continue
      }
      for t in 0..<shape.headDim {
        dk[t] += Float(slope * q[t])
        dq[t] += Float(slope * self.key.element(batch, keyHead, key, t))
      }
    }
  }
}
