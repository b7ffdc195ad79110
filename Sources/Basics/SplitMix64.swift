/// SplitMix64: a counter whose every value is mixed; a small generator whose stream is fixed by its seed.
///
/// Source: Steele, Lea and Flood, 2014, Fast splittable pseudorandom number generators.
public struct SplitMix64: RandomNumberGenerator, Sendable {
  /// What the counter grows by: the golden ratio in 64 bits, made odd.
  public static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

  private var state: UInt64

  /// The stream of a seed.
  public init(seed: UInt64) { state = seed }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    state &+= Self.increment
    return Self.mix(state)
  }

  /// The finaliser: a bijection under which every input bit changes about half of the output bits.
  public static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
