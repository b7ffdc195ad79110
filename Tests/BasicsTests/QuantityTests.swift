import Basics
import Testing

@Suite struct QuantityTests {
  @Test(arguments: [
    ("8GiB", 8 << 30), ("512MiB", 512 << 20), ("1.5 kB", 1500), ("100", 100), ("64B", 64), ("1e3", 1000),
  ])
  func sizes(text: String, bytes: Int) { #expect(Quantity.bytes(text) == bytes) }

  @Test(arguments: [("60s", 60.0), ("500ms", 0.5), ("2m", 120), ("1h", 3600)])
  func times(text: String, seconds: Double) { #expect(Quantity.seconds(text) == seconds) }

  @Test(
    "times for people have two units at most",
    arguments: [
      (0, "0 µs"), (1.25e-3, "1.25 ms"), (59.9, "59.9 s"), (119.9, "120 s"), (120, "2 min 0 s"),
      (7199, "119 min 59 s"), (7200, "2 h 0 min"), (12_060, "3 h 21 min"), (172_799, "47 h 59 min"),
      (172_800, "2 d 0 h"), (1_142_423, "13 d 5 h"), (2e9, "2.00e9 s"), (.infinity, "–"),
    ] as [(Double, String)])
  func described(seconds: Double, text: String) { #expect(Quantity.describe(seconds: seconds) == text) }

  @Test(arguments: ["", "GiB", "-1GiB", "8 GiBs", "0", "1e"])
  func noSizes(text: String) { #expect(Quantity.bytes(text) == nil) }

  @Test(arguments: [
    (0.0, "0"), (1, "1.00"), (123456, "123456"), (1234567, "1.23e6"), (0.00001234, "1.23e-5"),
    (-2.5, "-2.50"),
    (999.6, "1000"), (0.05, "0.0500"),
  ])
  func significantDigits(value: Double, text: String) { #expect(Quantity.significant(value, 3) == text) }
}
