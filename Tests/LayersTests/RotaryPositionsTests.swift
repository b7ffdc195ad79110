import AttentionCore
import Foundation
import Settings
import Testing

@testable import Layers

/// Frequencies of rotary positions against the formulas of their papers.
@Suite struct RotaryPositionsTests {
  static func positions(_ line: String) throws -> RotaryPositions {
    try #require(LayerConfiguration.rotary(reading: line).first)
  }

  static func plain(_ base: Double, _ r: Int) -> [Double] {
    (0..<r / 2).map { pow(base, -2 * Double($0) / Double(r)) }
  }

  static func isNear(_ a: [Double], _ b: [Double]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= 1e-12 * abs($1) }
  }

  @Test func interpolationDividesEveryFrequency() throws {
    let found = try Self.positions("linear(base=500, factor=4)").frequencies(turned: 12, length: 9)
    #expect(Self.isNear(found, Self.plain(500, 12).map { $0 / 4 }))
  }

  @Test("the base grows with a sequence that is longer than before, and with no other")
  func dynamic() throws {
    let positions = try Self.positions("dynamic(base=500, factor=2, original_length=16)")
    #expect(Self.isNear(positions.frequencies(turned: 8, length: 16), Self.plain(500, 8)))
    let base = 500 * pow(2.0 * 40 / 16 - 1, 8.0 / 6)
    #expect(Self.isNear(positions.frequencies(turned: 8, length: 40), Self.plain(base, 8)))
  }

  @Test("yarn leaves the fastest pairs, interpolates the slowest, and makes cosines larger")
  func yarn() throws {
    let positions = try Self.positions("yarn(base=10000, factor=8, original_length=4096)")
    let found = positions.frequencies(turned: 64, length: 0), whole = Self.plain(10_000, 64)
    // Pairs that turn more than 32 times, and less than once, over 4096 positions.
    for (index, frequency) in whole.enumerated() {
      let turns = 4096 * frequency / (2 * .pi)
      if turns > 40 { #expect(abs(found[index] / frequency - 1) < 1e-12) }
      if turns < 0.8 { #expect(abs(found[index] / frequency - 1 / 8.0) < 1e-12) }
      #expect(found[index] <= frequency && found[index] >= frequency / 8 * (1 - 1e-12))
    }
    #expect(abs(positions.magnitude - (0.1 * log(8) + 1)) < 1e-12)
    #expect(try Self.positions("yarn(factor=8, attention_factor=1.5)").magnitude == 1.5)
  }

  @Test("llama3 goes by wavelengths")
  func llama3() throws {
    let positions = try Self.positions("llama3(base=500, factor=8, original_length=64)")
    let found = positions.frequencies(turned: 16, length: 0)
    for (frequency, own) in zip(Self.plain(500, 16), found) {
      let wave = 2 * .pi / frequency
      let smooth = (64 / wave - 1) / (4 - 1)
      let expected =
        wave < 64.0 / 4
        ? frequency : wave > 64 ? frequency / 8 : (1 - smooth) * frequency / 8 + smooth * frequency
      #expect(abs(own / expected - 1) < 1e-12)
    }
  }

  @Test("a share of a head is turned, or nothing")
  func share() throws {
    #expect(try Self.positions("plain(share=0.25)").turned(of: 32) == 8)
    #expect(try Self.positions("none").turned(of: 32) == 0)
  }

  @Test(
    "a line is read as it is written",
    arguments: ["plain", "plain(base=1000) x5, linear(factor=8)", "yarn(truncate=false, beta_fast=8), none"])
  func line(line: String) throws {
    var c = LayerConfiguration()
    c.rotary = try LayerConfiguration.rotary(reading: line)
    #expect(try LayerConfiguration.rotary(reading: c.rotaryLine) == c.rotary)
  }

  @Test(
    "what no positions can be is one line",
    arguments: [
      (
        "longrope",
        "rotary: longrope is not allowed; it takes one of plain, linear, dynamic, yarn, llama3, none"
      ),
      (
        "linear(beta_fast=3)",
        "beta_fast: a setting of other rotary positions is not allowed; it takes base, share, factor"
      ),
      ("yarn(factor=0.5)", "factor: 0.5 is not allowed; it takes a number from 1 to"),
      (
        "none(base=3)",
        "base: a setting of other rotary positions is not allowed; it takes no setting with none"
      ),
      ("llama3(low_factor=4)", "high_factor: 4.0 is not allowed; it takes a number above low_factor = 4.0"),
    ])
  func mistakes(line: String, part: String) {
    #expect {
      try LayerConfiguration.rotary(reading: line)
    } throws: {
      "\($0)".contains(part) && !"\($0)".contains("\n")
    }
  }
}
