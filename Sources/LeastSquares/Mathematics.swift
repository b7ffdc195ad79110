import RealModule

@inlinable @inline(__always) package func exponential(_ x: Double) -> Double { Double.exp(x) }
@inlinable @inline(__always) package func logarithm(_ x: Double) -> Double { Double.log(x) }
@inlinable @inline(__always) package func power(_ x: Double, _ y: Double) -> Double { Double.pow(x, y) }

/// a^b also for negative a and whole b, where `Double.pow` of the numerics library gives NaN.
package func realPower(_ a: Double, _ b: Double) -> Double {
  guard a < 0, b == b.rounded() else { return Double.pow(a, b) }
  let size = Double.pow(-a, b)
  return b.truncatingRemainder(dividingBy: 2) == 0 ? size : -size
}

extension Sequence where Element == Double {
  package func sum() -> Double { reduce(0, +) }
}

/// The standard deviation with n − 1 below.
package func standardDeviation(_ values: [Double]) -> Double {
  guard values.count > 1 else { return .nan }
  let mean = values.sum() / Double(values.count)
  return (values.map { ($0 - mean) * ($0 - mean) }.sum() / Double(values.count - 1)).squareRoot()
}

extension Double {
  /// Nil instead of NaN or an infinity.
  package var finite: Double? { isFinite ? self : nil }
}
