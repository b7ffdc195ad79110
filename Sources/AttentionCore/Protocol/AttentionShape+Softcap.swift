#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension AttentionShape {
  /// A score under the soft cap, `c·tanh(s/c)`, and the derivative of that, `1/cosh²(s/c)`; the score itself and 1 where there
  /// is none.
  /// - Source: Gemma Team, 2024, Gemma 2.
  public func capped(_ score: Double) -> (score: Double, slope: Double) {
    guard let softcap else { return (score, 1) }
    let ratio = score / softcap, growth = cosh(ratio)
    return (softcap * tanh(ratio), 1 / growth / growth)
  }
}
