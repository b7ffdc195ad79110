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

/// Rows divided by their Euclidean norm, and the way back for gradients. A row of zeros stays zero.
///
/// `k = x/‖x‖`; `dx = (dk − (dk·k) k) / ‖x‖`.
enum NormalizedRows {
  /// The normalised rows of `[batch, heads, length, dim]`.
  /// - Throws: `MemoryLimitExceeded`.
  static func make(_ rows: Tensor, in context: ExecutionContext) throws -> Tensor {
    let (batch, heads, length, dim) = (rows.shape[0], rows.shape[1], rows.shape[2], rows.shape[3])
    var result = try Tensor(uninitialized: rows.shape, ledger: context.ledger)
    let (target, source) = (result.rowsForWriting(), rows.rows())
    Parallel.forEach(count: batch * heads, threads: context.threads) { index, _ in
      for row in 0..<length {
        let x = source.row(index / heads, index % heads, row)
        let k = target.row(index / heads, index % heads, row)
        let norm = Norm(x, dim)
        for t in 0..<dim { k[t] = x[t] * norm.scale * norm.inverse }
      }
    }
    return result
  }

  /// Adds the gradient of the rows that comes through their normalised form.
  static func addGradient(
    _ gradient: Tensor, normalized: Tensor, rows: Tensor, to target: inout Tensor,
    in context: ExecutionContext
  ) {
    let (batch, heads, length, dim) = (rows.shape[0], rows.shape[1], rows.shape[2], rows.shape[3])
    let (target, gradient) = (target.rowsForWriting(), gradient.rows())
    let (normalized, rows) = (normalized.rows(), rows.rows())
    Parallel.forEach(count: batch * heads, threads: context.threads) { index, _ in
      for row in 0..<length {
        let (sequence, head) = (index / heads, index % heads)
        let dk = gradient.row(sequence, head, row)
        let k = normalized.row(sequence, head, row)
        let dx = target.row(sequence, head, row)
        let norm = Norm(rows.row(sequence, head, row), dim)
        let sum = dot(dk, k, dim)
        for t in 0..<dim { dx[t] += (dk[t] - sum * k[t]) * norm.scale * norm.inverse }
      }
    }
  }

  /// 1/‖x‖ = scale · inverse; scaling x by a power of two scales it exactly. 0 for a row of zeros.
  ///
  /// The scale is a power of two: 1 unless squares of x overflow or vanish in single precision.
  private struct Norm {
    var scale: Float = 1
    var inverse: Float

    init(_ x: UnsafePointer<Float>, _ dim: Int) {
      var sum = dot(x, x, dim)
      if attn_squares_are_safe(sum) == 0 {
        let by = attn_square_scale((0..<dim).reduce(0) { max($0, x[$1].magnitude) })
        sum = (0..<dim).reduce(0) { $0 + (x[$1] * by) * (x[$1] * by) }
        scale = by
      }
      inverse = sum > 0 ? 1 / sum.squareRoot() : 0
    }
  }

  /// Σ a_t b_t in eight lanes.
  static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ dim: Int) -> Float {
    var sums = SIMD8<Float>.zero
    var t = 0
    while t + 8 <= dim {
      sums +=
        UnsafeRawPointer(a + t).loadUnaligned(as: SIMD8<Float>.self)
        * UnsafeRawPointer(b + t).loadUnaligned(as: SIMD8<Float>.self)
      t += 8
    }
    while t < dim {
      sums[t & 7] += a[t] * b[t]
      t += 1
    }
    return sums.sum()
  }
}
