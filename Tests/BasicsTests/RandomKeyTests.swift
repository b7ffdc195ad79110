import Basics
import Testing

/// Golden values: a change of any of them changes every drawn input, weight and batch, so every published result.
///
/// They come from a separate implementation in Python of what the documentation says: FNV-1a, SplitMix64, xoshiro256**,
/// Box–Muller, and the integers below a bound by the multiplication of Lemire (2019).
@Suite struct RandomKeyTests {
  private static let key = RandomKey(seed: 7)("layer")(3)("head")(1)

  @Test(
    "the bits of keys",
    arguments: [
      (RandomKey(seed: 0), 0xe220_a839_7b1d_cdaf), (RandomKey(seed: 1), 0x910a_2dec_8902_5cc1),
      (RandomKey(seed: .max), 0xe4d9_7177_1b65_2c20), (key, 0x2d5a_0535_2770_9784),
      (RandomKey(seed: 0)("köln"), 0x2dab_2410_5190_beee), (RandomKey(seed: 0)(-1), 0x4418_59c2_490e_2d3d),
      (RandomKey(seed: 0)(""), 0xd84d_1f8e_a453_246e),
    ] as [(RandomKey, UInt64)])
  func keys(key: RandomKey, bits: UInt64) { #expect(key.bits == bits) }

  private func draws<Value>(_ count: Int, _ draw: (inout RandomGenerator) -> Value) -> [Value] {
    var generator = Self.key.generator()
    return (0..<count).map { _ in draw(&generator) }
  }

  @Test("the stream of a key, by every kind of draw")
  func streams() {
    #expect(
      draws(4) { $0.next() }
        == [
          0x3d0f_7625_9d59_83b1, 0x7108_4322_dafa_06ae, 0x38fa_ec97_be36_be94, 0x3f1d_0284_4c64_4e12,
        ])
    #expect(
      draws(4) { $0.uniform() }
        == [0x1.e87bb12ceacc0p-3, 0x1.c4210c8b6be80p-2, 0x1.c7d764bdf1b5cp-3, 0x1.f8e8142263224p-3])
    #expect(draws(12) { $0.integer(below: 10) } == [2, 4, 2, 2, 8, 5, 8, 3, 2, 4, 0, 8])
    // A bound of 3·2⁶¹ refuses a quarter of the draws.
    #expect(
      draws(4) { $0.integer(below: 3 << 61) }
        == [
          0x16e5_cc4e_1b01_9162, 0x2a63_192d_121d_c281, 0x155e_18b8_e754_8777, 0x17aa_e0f1_9ca5_9d46,
        ])
    #expect(
      draws(4) { $0.normal() }
        == [-0x1.60c074c84144ep-1, 0x1.0f803dc4b2d33p-2, 0x1.f9fd85660b157p-7, 0x1.6b3bf187fa36dp-1])
    #expect(draws(1) { Array(0..<8).shuffled(using: &$0) } == [[1, 4, 3, 0, 7, 6, 2, 5]])
  }
}
