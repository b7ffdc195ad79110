/// A seed that is a value: children are derived by name or number, never by drawing.
///
/// `key("layer")(3)("head")(1)` always gives the same stream, whatever else was drawn before, after or beside it;
/// adding a row to an experiment changes no other row. Derivation hashes the name with FNV-1a and mixes with the
/// finaliser of SplitMix64 (Steele, Lea and Flood, 2014). The stream is xoshiro256** (Blackman and Vigna, 2018).
public struct RandomKey: Hashable, Sendable {
  /// The 64 bits that identify the key.
  public let bits: UInt64

  /// The root key of a seed.
  public init(seed: UInt64) { bits = SplitMix64.mix(seed &+ SplitMix64.increment) }

  private init(bits: UInt64) { self.bits = bits }

  /// The child of this name.
  public func callAsFunction(_ name: String) -> RandomKey {
    RandomKey(bits: SplitMix64.mix(bits ^ SplitMix64.mix(Fingerprint.hash(name.utf8))))
  }

  /// The child of this number.
  public func callAsFunction(_ index: Int) -> RandomKey {
    RandomKey(
      bits: SplitMix64.mix(bits &+ SplitMix64.mix(UInt64(bitPattern: Int64(index)) ^ 0xD6E8_FEB8_6659_FD93)))
  }

  /// A generator at the start of this key's stream.
  public func generator() -> RandomGenerator { RandomGenerator(seed: bits) }
}
