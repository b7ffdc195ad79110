import RealModule

/// The stream of a `RandomKey`: xoshiro256**, with uniform and normal draws.
public struct RandomGenerator: RandomNumberGenerator, Sendable {
  private var s0: UInt64, s1: UInt64, s2: UInt64, s3: UInt64
  private var spare: Double?

  init(seed: UInt64) {
    var words = SplitMix64(seed: seed)
    (s0, s1, s2, s3) = (words.next(), words.next(), words.next(), words.next())
  }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    let product = s1 &* 5
    let result = ((product << 7) | (product >> 57)) &* 9
    let shifted = s1 << 17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << 45) | (s3 >> 19)
    return result
  }

  /// A uniform draw from [0, 1) with 53 random bits.
  public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// A uniform integer in `0 ..< bound`, without bias.
  public mutating func integer(below bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

  /// A draw from N(0, 1): Box–Muller, in Double.
  public mutating func normal() -> Double {
    if let value = spare {
      spare = nil
      return value
    }
    let radius = Double.sqrt(-2 * Double.log(1 - uniform()))
    let angle = 2 * Double.pi * uniform()
    spare = radius * Double.sin(angle)
    return radius * Double.cos(angle)
  }
}
