import AttentionCore
import Basics
import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The weights w `[heads, headDim]` of additive scores, `s_ij = Σ_t w_t·tanh(q_it + k_jt)`, as the kernels read them.
///
/// Additive scores take the place of products in the same tiles (`CKernels/template/energy.h`): patterns, masks, softmax and
/// values are those of all others. What every query row adds to dw stands behind its row of dQ, so that it goes the same ways
/// and its sum has a fixed order. Time O(pairs executed · (headDim + valueDim)), a tanh for each pair and element of a head;
/// memory O(n·d).
///
/// `@unchecked Sendable` for the reason given at `Rows`.
struct EnergyWeights: @unchecked Sendable {
  private let base: UnsafePointer<Float>
  private let dim: Int

  /// The weights of a head.
  func head(_ head: Int) -> UnsafePointer<Float> { base + head * dim }

  /// Calls `body` with the weights of a tensor; with `nil` where there is none.
  static func reading<R>(_ tensor: Tensor?, _ body: (EnergyWeights?) throws -> R) rethrows -> R {
    guard let tensor else { return try body(nil) }
    let rows = tensor.isContiguous ? tensor : tensor.contiguous()
    let view = rows.pinned()
    return try withExtendedLifetime(view) {
      try body(EnergyWeights(base: UnsafePointer(view.pointer), dim: rows.shape[1]))
    }
  }

  /// The score of a row and a key.
  func score(_ q: [Double], _ head: Int, key: (Int) -> Double) -> Double {
    let w = self.head(head)
    return q.indices.reduce(0.0) { $0 + Double(w[$1]) * tanh(q[$1] + key($1)) }
  }

  /// Bytes of a backward tile's scratch beyond that of products.
  static func scratchBytes(_ shape: AttentionShape) -> Int {
    4 * Int(ATTN_LANES) * ((shape.headDim + 15) / 16 * 16)
  }
}
