import Basics

/// The draws of restarts and designs: SplitMix64, fixed by its seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
  private var words: SplitMix64

  /// The stream of a seed and, for independent streams of one seed, of an index.
  init(seed: UInt64, stream: UInt64 = 0) {
    words = SplitMix64(seed: seed)
    words = SplitMix64(seed: words.next() ^ (stream &* 0xD1B5_4A32_D192_ED03))
    _ = words.next()
  }

  mutating func next() -> UInt64 { words.next() }

  /// A number in (0, 1).
  mutating func uniform() -> Double { (Double(next() >> 11) + 0.5) / 9_007_199_254_740_992 }

  /// A standard normal number.
  mutating func normal() -> Double { Distributions.normalQuantile(uniform()) }

  /// A whole number below `bound`.
  mutating func index(below bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }
}
