import RealModule

@inline(__always) func exponential(_ x: Double) -> Double { Double.exp(x) }
@inline(__always) func logarithm(_ x: Double) -> Double { Double.log(x) }
@inline(__always) func power(_ x: Double, _ y: Double) -> Double { Double.pow(x, y) }

/// a^b also for negative a and whole b, where `Double.pow` of the numerics library gives NaN.
func realPower(_ a: Double, _ b: Double) -> Double {
  guard a < 0, b == b.rounded() else { return Double.pow(a, b) }
  let size = Double.pow(-a, b)
  return b.truncatingRemainder(dividingBy: 2) == 0 ? size : -size
}

extension Sequence where Element == Double {
  func sum() -> Double { reduce(0, +) }
}

/// The standard deviation with n − 1 below.
func standardDeviation(_ values: [Double]) -> Double {
  guard values.count > 1 else { return .nan }
  let mean = values.sum() / Double(values.count)
  return (values.map { ($0 - mean) * ($0 - mean) }.sum() / Double(values.count - 1)).squareRoot()
}
