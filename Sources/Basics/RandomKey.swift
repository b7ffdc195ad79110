/// A seed that is a value: children are derived by name or number, never by drawing.
///
/// `key("layer")(3)("head")(1)` always gives the same stream, whatever else was drawn before, after or beside it;
/// adding a row to an experiment changes no other row. Derivation hashes the name with FNV-1a and mixes with the
/// finaliser of SplitMix64 (Steele, Lea and Flood, 2014). The stream is xoshiro256** (Blackman and Vigna, 2018).
public struct RandomKey: Hashable, Sendable {
  /// The 64 bits that identify the key.
  public let bits: UInt64

  /// The root key of a seed.
  public init(seed: UInt64) { bits = RandomKey.mix(seed &+ 0x9E37_79B9_7F4A_7C15) }

  private init(bits: UInt64) { self.bits = bits }

  /// The child of this name.
  public func callAsFunction(_ name: String) -> RandomKey {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return RandomKey(bits: RandomKey.mix(bits ^ RandomKey.mix(hash)))
  }

  /// The child of this number.
  public func callAsFunction(_ index: Int) -> RandomKey {
    RandomKey(
      bits: RandomKey.mix(bits &+ RandomKey.mix(UInt64(bitPattern: Int64(index)) ^ 0xD6E8_FEB8_6659_FD93)))
  }

  /// A generator at the start of this key's stream.
  public func generator() -> RandomGenerator { RandomGenerator(seed: bits) }

  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
