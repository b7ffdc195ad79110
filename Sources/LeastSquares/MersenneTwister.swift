/// MT19937 with the seeding and the whole numbers of NumPy's `numpy.random.seed` and `numpy.random.choice`.
///
/// Resampling uses it so that a bootstrap can be compared with one made in Python draw by draw: the k-th resample is the
/// k-th `numpy.random.choice(n, n)` after `numpy.random.seed(seed)`. Source: Matsumoto and Nishimura 1998.
struct MersenneTwister {
  private var state: [UInt32]
  private var position = 624

  init(seed: UInt64) {
    // NumPy takes 32 bits; larger seeds are folded.
    var word = UInt32(truncatingIfNeeded: seed ^ (seed >> 32))
    state = []
    for k in 1...UInt32(624) {
      state.append(word)
      word = 1_812_433_253 &* (word ^ (word >> 30)) &+ k
    }
  }

  mutating func next() -> UInt32 {
    if position == state.count { turn() }
    var y = state[position]
    position += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9D2C_5680
    y ^= (y << 15) & 0xEFC6_0000
    return y ^ (y >> 18)
  }

  private mutating func turn() {
    for k in 0..<624 {
      let y = (state[k] & 0x8000_0000) | (state[(k + 1) % 624] & 0x7FFF_FFFF)
      state[k] = state[(k + 397) % 624] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
    }
    position = 0
  }

  /// A whole number below `bound`, by rejection of masked bits.
  mutating func index(below bound: Int) -> Int {
    guard bound > 1 else { return 0 }
    let most = UInt32(truncatingIfNeeded: bound - 1)
    let mask = UInt32.max >> most.leadingZeroBitCount
    while true {
      let value = next() & mask
      if value <= most { return Int(value) }
    }
  }
}
