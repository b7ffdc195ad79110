import Basics
import Foundation
import LabTestSupport
import Testing

@testable import Figures

/// One engine draws every figure: measurements, trainings, columns and fits.
@Suite struct FigureTests {
  @Test(
    "A long logarithmic axis has powers, a short one 1-2-5, a very short one the steps of a linear one",
    arguments: [
      (Figure.Scale.log, 1.0, 1e5, ["1", "10", "100", "1000", "10000", "100000"]),
      (.log, 0.9, 25, ["1", "2", "5", "10", "20"]), (.log, 2.1, 2.9, ["2.2", "2.4", "2.6", "2.8"]),
      (.log, 1e18, 3e21, ["10^{18}", "10^{19}", "10^{20}", "10^{21}"]),
      (.seconds, 0.0009, 0.021, ["1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]),
      (.length, 200, 2100, ["256", "512", "1k", "2k"]),
      (.length, 1100, 1900, ["1200", "1400", "1600", "1800"]),
      (.share, 0, 1, ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
      (.linear, -0.11, 0.11, ["-0.1", "-0.05", "0", "0.05", "0.1"]),
      (.linear, 0, 3e7, ["0", "5·10^{6}", "10^{7}", "1.5·10^{7}", "2·10^{7}", "2.5·10^{7}", "3·10^{7}"]),
      (.bytes, 900, 5000, ["1 KiB", "2 KiB", "4 KiB"]),
    ])
  func ticks(scale: Figure.Scale, low: Double, high: Double, expected: [String]) {
    #expect(scale.ticks(in: low...high).map(scale.text) == expected)
  }

  @Test("Every axis has at least two numbers and at most a dozen, whatever it spans")
  func counts() {
    for scale in [Figure.Scale.log, .seconds, .length, .bytes, .share, .linear] {
      for exponent in stride(from: -6.0, through: 12, by: 0.7) {
        for factor in [1.05, 1.5, 3, 12, 150, 1e4, 1e9] {
          let ends = [pow(10, exponent), pow(10, exponent) * factor]
          guard let range = scale.range(ends) else {
            Issue.record("no range of \(ends)")
            continue
          }
          let ticks = scale.ticks(in: range)
          #expect((2...13).contains(ticks.count), "\(scale) \(ends): \(ticks)")
          #expect(
            ticks.allSatisfy { range.contains($0 * (1 - 1e-9)) || range.contains($0 * (1 + 1e-9)) },
            "\(scale) \(ends): \(ticks)")
        }
      }
    }
  }

  @Test("What no axis can show widens none")
  func extremes() {
    for scale in [Figure.Scale.log, .seconds, .length, .bytes, .share, .linear] {
      #expect(scale.range([.infinity, .nan, .greatestFiniteMagnitude]) == nil)
      for ends in [[1e-289, 1e289], [1e15, 1e15.nextUp], [1e289], [1e-289]] {
        guard let range = scale.range(ends) else { continue }
        #expect(scale.ticks(in: range).map(scale.text).allSatisfy { !$0.isEmpty })
      }
    }
    #expect(Figure.Scale.log.range([0, -1, .leastNonzeroMagnitude]) == nil)
  }

  private static func panel(_ points: [Figure.Point], law: [Figure.Point] = []) -> Figure.Panel {
    Figure.Panel(
      x: .init("x", .linear), y: .init("y", .linear),
      curves: [.init(label: "a", points: points, law: law, style: 0)])
  }

  @Test("A panel with nothing in it is left out, and a figure without panels is refused")
  func empty() async {
    let full = Self.panel([.init(x: 1, y: 2)])
    let figure = Figure(
      title: "", panels: [Self.panel([]), full, Self.panel([], law: [.init(x: 1, y: .nan)])])
    #expect(figure.panels.count == 1)
    await #expect(throws: UsageError.self) {
      try await Gnuplot.draw(Figure(title: "", panels: [Self.panel([])]), to: "/tmp/none.svg")
    }
  }

  @Test("the last number across has room beside the frame", arguments: [1e5, 1.5e7, 1.25e12])
  func lastNumber(end: Double) throws {
    let points = [Figure.Point(x: end / 100, y: 1), Figure.Point(x: end, y: 2)]
    let panel = Figure.Panel(
      x: .init("x", .linear), y: .init("y", .linear), curves: [.init(label: "a", points: points, style: 0)])
    let lines = Figure(title: "", panels: [panel]).script(output: "a", dataFile: "b", canvas: .png)
      .split(separator: "\n")
    let margin = try #require(
      lines.first { $0.hasPrefix("set rmargin at screen ") }.flatMap { Double($0.dropFirst(22)) })
    let range = try #require(panel.x.scale.range(points.map(\.x)))
    let last = try #require(panel.x.scale.ticks(in: range).last)
    // The plot is 860 pixels wide and begins at 140; a digit takes 9 of them.
    let right = 860 * margin, share = (last - range.lowerBound) / (range.upperBound - range.lowerBound)
    let centre = 140 + share * (right - 140)
    let signs = panel.x.scale.text(last).count { !"{}^".contains($0) }
    #expect(centre + 4.5 * Double(signs) <= 860)
  }

  @Test("names that do not fit beside each other stand below each other", arguments: [(20, 1), (52, 2)])
  func legend(letters: Int, rows: Int) {
    let curves = (0..<2).map { style in
      Figure.Curve(
        label: String(repeating: "n", count: letters), points: [.init(x: 1, y: 2)], style: style)
    }
    let panel = Figure.Panel(x: .init("x", .linear), y: .init("y", .linear), curves: curves)
    let script = Figure(title: "", panels: [panel]).script(output: "a", dataFile: "b", canvas: .png)
    #expect(script.contains(" left top maxrows \(rows) "))
  }

  @Test("a hundred curves differ in colour or shape")
  func palette() {
    let looks = (0..<100).map { "\(Figure.colour($0)) \(Figure.shape($0))" }
    #expect(Set(looks).count == 100)
  }

  @Test("Words beside a point stand on no line")
  func notes() throws {
    let ends = [Figure.Point(x: 1, y: 1), .init(x: 5, y: 1), .init(x: 5, y: 3)]
    func height(_ law: [Figure.Point]) throws -> (label: Double, point: Double) {
      var panel = Self.panel(ends, law: law)
      panel.notes = [.init(x: 1, y: 1, text: "name", style: 0)]
      let line = try #require(
        Figure(title: "", panels: [panel]).script(output: "a", dataFile: "b", canvas: .png)
          .split(separator: "\n").first { $0.hasPrefix("set label \"name\"") })
      let place = try #require(line.split(separator: " at graph ").last?.split(separator: " ").first)
      let range = try #require(panel.y.scale.range(ends.map(\.y)))
      let share = (1 - range.lowerBound) / (range.upperBound - range.lowerBound)
      return (try #require(Double(place.split(separator: ",")[1])), share)
    }
    let alone = try height([]), crossed = try height(ends)
    #expect(abs(alone.label - alone.point) < 1e-9)
    // Half of the words' height, and half of the line's, in pixels of a frame of about 300.
    #expect(abs(crossed.label - crossed.point) * 326 > 10)
  }

  @Test("Bars and bands widen an axis by no more than once the height of what they belong to")
  func bands() throws {
    let law = [Figure.Point(x: 1, y: 1, low: 0.5, high: 1000), Figure.Point(x: 2, y: 2, low: 1.5, high: 2.5)]
    let script = Figure(title: "", panels: [Self.panel([.init(x: 1, y: 1)], law: law)])
      .script(output: "./a.svg", dataFile: "./a.dat", canvas: .png)
    let line = try #require(script.split(separator: "\n").first { $0.hasPrefix("set yrange") })
    #expect(line == "set yrange [0.4:2.6]")
    #expect(script.split(separator: "\n").contains { $0.hasPrefix("set xtics (") && $0.contains("1.2") })
  }
}
