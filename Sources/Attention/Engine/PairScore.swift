import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What makes the score of a pair where statistics are told: of a head and the rows of q and k, before any soft cap.
struct PairScore: Sendable {
  private let value: @Sendable (Int, UnsafePointer<Float>, UnsafePointer<Float>) -> Double

  private init(
    _ value: @escaping @Sendable (Int, UnsafePointer<Float>, UnsafePointer<Float>) -> Double
  ) {
    self.value = value
  }

  func callAsFunction(_ head: Int, _ query: UnsafePointer<Float>, _ key: UnsafePointer<Float>) -> Double {
    value(head, query, key)
  }

  /// `scale · q·k`; in Double where single precision gives no number.
  static func products(_ scale: Double, dim: Int) -> PairScore {
    PairScore { _, q, k in
      let product = NormalizedRows.dot(q, k, dim)
      if product.isFinite { return scale * Double(product) }
      return scale * (0..<dim).reduce(0.0) { $0 + Double(q[$1]) * Double(k[$1]) }
    }
  }

  /// `Σ_t w_t · f(q_t + k_t)`, w a vector of the head.
  static func sums(
    _ weights: Tensor, dim: Int, through function: @escaping @Sendable (Double) -> Double
  ) -> PairScore {
    let weights = weights.array()
    return PairScore { head, q, k in
      (0..<dim).reduce(0.0) {
        $0 + Double(weights[head * dim + $1]) * function(Double(q[$1]) + Double(k[$1]))
      }
    }
  }

  /// `w·tanh(q + k)`.
  static func additive(_ weights: Tensor, dim: Int) -> PairScore {
    sums(weights, dim: dim) { tanh($0) }
  }

  /// `f(source·k + target·q)`, both vectors of the head.
  static func nodes(
    source: Tensor, target: Tensor, dim: Int, through function: @escaping @Sendable (Double) -> Double
  ) -> PairScore {
    let (source, target) = (source.array(), target.array())
    return PairScore { head, q, k in
      function(
        (0..<dim).reduce(0.0) {
          let place = head * dim + $1
          return $0 + Double(source[place]) * Double(k[$1]) + Double(target[place]) * Double(q[$1])
        })
    }
  }
}
