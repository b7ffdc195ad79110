import AttentionCore
import Tensors

/// What the way back of stored weights needs where they are only a share of their rows' softmax.
///
/// With the share `f_i = exp(lse_i − lse'_i)` and `D_i = dO_i·o'_i` over all keys: `dV = Wᵀ (f dO)` and
/// `dS = W ∘ ((f dO)Vᵀ − f D)`.
struct DenseShare: Sendable {
  /// `f_i dO_i`.
  let outputGradient: Tensor
  /// `f_i D_i`.
  private let means: PinnedView<Float>
  private let heads: Int, length: Int

  /// - Returns: `nil` where there are no other keys.
  /// - Throws: `MemoryLimitExceeded`.
  init?(
    _ outputGradient: Tensor, lse: Tensor, rows: SoftmaxRows, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) {
    guard rows.hasOtherKeys else { return nil }
    (heads, length) = (lse.shape[1], lse.shape[2])
    let dim = outputGradient.shape[3]
    let (own, all) = (lse.contiguous().pinned(), rows.lse.contiguous().pinned())
    let (dO, output) = (outputGradient.contiguous().pinned(), rows.output.contiguous().pinned())
    var weighted = try Tensor(uninitialized: outputGradient.shape, ledger: ledger)
    var kept = try Tensor(uninitialized: lse.shape, ledger: ledger)
    let (shared, means) = (weighted.pinnedForWriting(), kept.pinnedForWriting())
    for row in 0..<lse.count {
      let share = Float(SoftmaxRows.share(of: Double(own[row]), in: all[row]))
      var mean = 0.0
      for t in row * dim..<(row + 1) * dim {
        mean += Double(dO[t]) * Double(output[t])
        shared[t] = dO[t] * share
      }
      means[row] = share * Float(mean)
    }
    self.means = means
    self.outputGradient = weighted
  }

  /// Turns a row of `(f dO)Vᵀ` into one of dS, in place; what the row does not see becomes 0.
  func gradient(
    _ row: UnsafeMutablePointer<Float>, _ weights: UnsafePointer<Float>, _ batch: Int, _ head: Int,
    _ number: Int, visible: Int, of count: Int
  ) {
    let mean = means[(batch * heads + head) * length + number]
    for key in 0..<visible { row[key] = weights[key] * (row[key] - mean) }
    for key in visible..<count { row[key] = 0 }
  }
}
