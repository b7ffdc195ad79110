import Basics
import Testing

@testable import AttentionLab

@Suite("NAME=NUMBER pairs") struct NamedNumberTests {
  @Test(
    "Names with blanks, commas and equal signs",
    arguments: [
      ("a=1,b=2", ["a": 1, "b": 2]), ("Seq Len = 64", ["Seq Len": 64]),
      ("{Seq Len}=64, a = 2", ["Seq Len": 64, "a": 2]),
      ("Size, M=3,a=1", ["Size, M": 3, "a": 1]), ("a=b=7", ["a=b": 7]), ("", [:]), (",,a=1,,", ["a": 1]),
      ("a=-1e-3", ["a": -1e-3]),
    ] as [(String, [String: Double])])
  func pairs(text: String, expected: [String: Double]) throws {
    #expect(try FitLawOptions.pairs(text, option: "--predict", names: ["Size, M", "a=b", "a"]) == expected)
  }

  @Test(
    "What is no pair is refused",
    arguments: ["a", "a=", "=1", "a=x", "a=inf", "a=nan", "a=1,a=2", "a:1", "{a=1"])
  func mistakes(_ text: String) {
    #expect(throws: UsageError.self) { try FitLawOptions.pairs(text, option: "--start") }
  }

  @Test("Random texts end in pairs or in a line", arguments: 1...20)
  func fuzz(seed: UInt64) {
    var generator = SplitMix64(seed: seed)
    let pieces = [
      "a", "Seq Len", "{", "}", "=", "=", ",", " ", "1", "-", ".", "e", "inf", "\u{301}", "é", "\n",
    ]
    for _ in 0..<500 {
      let text = (0..<Int.random(in: 0...15, using: &generator)).map { _ in
        pieces.randomElement(using: &generator) ?? ""
      }.joined()
      let found = try? FitLawOptions.pairs(text, option: "--predict", names: ["Seq Len", "a"])
      #expect(found?.values.allSatisfy(\.isFinite) != false)
    }
  }
}
