import Foundation
import LabTestSupport
import Testing

@testable import Laboratory

/// Text from files and flags is text in a gnuplot script, whatever it looks like.
@Suite struct GnuplotTextTests {
  @Test(arguments: [
    ("plain", "'plain'"), ("it's", "'it''s'"), ("a `touch x` b", "'a `touch x` b'"),
    ("two\nlines\u{0}", "'two lines '"),
    ("\"q\" $x @y", "'\"q\" $x @y'"),
  ])
  func quotations(_ text: String, _ expected: String) { #expect(quoted(text) == expected) }

  @Test("what stands between backquotes is drawn, not run")
  func backquotes() async throws {
    guard await Tool.gnuplotVersion() != nil else { return }
    let scratch = try Scratch(), folder = scratch.path
    let bad = "`touch \(folder)/pwned`", table = "n,\(bad),who\n1,2,\(bad)\n2,3,\(bad)\n4,4,\(bad)\n"
    let request = ColumnPlot.Request(x: "n", y: bad, by: "who", title: "x \(bad)\ny", fits: true)
    let figure = try ColumnPlot.figure(CSVTable(text: table, file: "t.csv"), request)
    let files = try await Gnuplot.draw(figure, to: folder + "/a.svg")
    let points = [Figure.Point(x: 1, y: 3), Figure.Point(x: 2, y: 4)]
    let panel = Figure.Panel(
      title: bad, x: .init(bad, .linear), y: .init(bad, .linear),
      curves: [.init(label: escaped(bad), points: points, style: 0)])
    let column = Figure(title: bad, panels: [panel, panel], arrangement: .column)
    _ = try await Gnuplot.draw(column, to: folder + "/b.svg")
    #expect(!FileManager.default.fileExists(atPath: folder + "/pwned"))
    #expect(try String(contentsOfFile: files[0], encoding: .utf8).contains("touch"))
  }
}
