import Basics
import Testing

@Suite struct QuantilesTests {
  /// `numpy.quantile(x, q)`, whose default is the same type 7.
  @Test(arguments: [
    ([3.0, 1, 2], 0.5, 2.0), ([4, 1, 3, 2], 0.5, 2.5), ([10, 20, 30, 40], 0.2, 16), ([7], 0.9, 7),
    ([1, 2, 3, 4, 5], 1, 5), ([1, 2, 3, 4, 5], 0, 1), ([1, 2], -1, 1), ([1, 2], 2, 2),
  ])
  func values(values: [Double], fraction: Double, expected: Double) {
    #expect(Quantiles.of(values, fraction) == expected)
  }

  @Test func ofNothing() { #expect(Quantiles.of([], 0.5).isNaN && Quantiles.median([]).isNaN) }
}

@Suite struct GroupingTests {
  @Test func groupsAppearInTheOrderOfTheirFirst() {
    let groups = ["bb", "a", "cc", "d", "eee"].grouped(by: \.count)
    #expect(groups.map(\.key) == [2, 1, 3])
    #expect(groups.map(\.elements) == [["bb", "cc"], ["a", "d"], ["eee"]])
    #expect([Int]().grouped { $0 }.isEmpty)
  }

  @Test(arguments: [("", ""), (" \t\n", ""), (" a b\n", "a b"), ("\u{A0}x\u{3000}", "x"), ("x", "x")])
  func trimming(text: String, trimmed: String) { #expect(text.trimmed == trimmed) }
}
