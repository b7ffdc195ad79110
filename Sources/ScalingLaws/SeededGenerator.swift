/// SplitMix64: a small generator whose stream is fixed by its seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  /// The stream of a seed and, for independent streams of one seed, of an index.
  init(seed: UInt64, stream: UInt64 = 0) {
    state = seed
    let first = next()
    state = first ^ (stream &* 0xD1B5_4A32_D192_ED03)
    _ = next()
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number in (0, 1).
  mutating func uniform() -> Double { (Double(next() >> 11) + 0.5) / 9_007_199_254_740_992 }

  /// A standard normal number.
  mutating func normal() -> Double { Distributions.normalQuantile(uniform()) }

  /// A whole number below `bound`.
  mutating func index(below bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }
}
