import LeastSquares

/// A small generator for test data: the same numbers on every machine.
public struct TestNoise {
  private var state: UInt64

  /// The stream of a seed.
  public init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

  /// A number in (0, 1).
  public mutating func uniform() -> Double {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return (Double((z ^ (z >> 31)) >> 11) + 0.5) / 9_007_199_254_740_992
  }

  /// A standard normal number.
  public mutating func normal() -> Double { Distributions.normalQuantile(uniform()) }
}

/// Lengths 64, 128, … up to `last`.
public func doublings(from first: Double = 64, to last: Double) -> [Double] {
  var values = [first]
  while let x = values.last, x * 2 <= last { values.append(x * 2) }
  return values
}

/// Whether two numbers agree to a relative tolerance.
public func agree(_ a: Double?, _ b: Double, _ tolerance: Double) -> Bool {
  guard let a else { return false }
  return abs(a - b) <= tolerance * max(abs(a), abs(b))
}
