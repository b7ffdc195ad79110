import CKernels
import Tensors

/// Scores by which keys or blocks are chosen, where single precision does not hold some: which of them overflow depends on the order of
/// sums, and so on the instruction set.
enum VastScores {
  /// Computes the scores of a row one by one in Double, times |scale|, where some product passes what single precision holds: it may come
  /// back, or be scaled down.
  /// - Returns: whether it did so.
  static func correct(
    _ scores: UnsafeMutablePointer<Float>, count: Int, _ query: Tensor, _ keys: Tensor, row: Int,
    scale: Double, _ isa: Int32
  ) -> Bool {
    guard attn_scan_finite(isa, scores, count, 1, count) == 0 else { return false }
    let dim = query.shape[1], (q, k) = (query.pinned(), keys.pinned())
    let (queryStart, keyStride) = (row * query.strides[0], keys.strides[0])
    for key in 0..<count {
      let sum = (0..<dim).reduce(0.0) { $0 + Double(q[queryStart + $1]) * Double(k[key * keyStride + $1]) }
      scores[key] = Float(scale.magnitude * sum)
    }
    return true
  }
}
