import Basics
import Foundation
import LabTestSupport
import Testing

@testable import Analysis
@testable import Figures
@testable import Presets
@testable import Processes
@testable import Records

/// Text from files and flags is text in a gnuplot script, whatever it looks like.
@Suite struct GnuplotTextTests {
  @Test(arguments: [
    ("plain", "\"plain\""), ("it's", "\"it\\047s\""), ("a `touch x` b", "\"a \\140touch x\\140 b\""),
    ("two\nlines", "\"two\\012lines\""), ("\"q\" $x @y", "\"\\042q\\042 \\044x \\100y\""), ("é", "\"é\""),
  ])
  func quotations(_ text: String, _ expected: String) { #expect(quoted(text) == expected) }

  @Test func aLabelHasOneLine() { #expect(escaped("two\nlines_\u{0}") == "two lines\\_ ") }

  @Test(arguments: [("a.svg.gp", "a.svg.gp"), ("-x", "-x"), ("a'b c", "'a'\\''b c'"), ("`x`", "'`x`'")])
  func shellWords(_ text: String, _ expected: String) { #expect(shellQuoted(text) == expected) }

  static let nasty = [
    "<touch PWNED;echo .svg", "| touch PWNED .svg", "'quoted'.svg", "'''.svg", "`touch PWNED`.svg",
    "-x.svg", "new\nline.svg", "%s @a \"q\".svg", "ü 漢.svg", "$(touch PWNED).svg", "~x.svg", "a;b&c.svg",
  ]

  /// Text and names that begin a command, end a string or mean something to gnuplot are text and names.
  @Test("what a user names is drawn, kept beside the figure, and drawn again", arguments: nasty)
  func nastyNames(_ name: String) async throws {
    guard await Tool.gnuplotVersion() != nil else { return }
    let folder = FileManager.default.temporaryDirectory.path + "/attnlab-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let lines = [(1, name), (2, name), (1, "''"), (3, "''")].map { CSVTable.line(["\($0.0)", "4", $0.1]) }
    let table = try CSVTable(text: CSVTable.line(["n", "t", "who"]) + lines.joined(), file: "t.csv")
    let request = ColumnPlot.Request(x: "n", y: "t", by: "who", title: name, fits: true)
    let file = folder + "/" + name
    let files = try await Gnuplot.draw(ColumnPlot.figure(table, request), to: file)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(Set(names) == [name, name + ".gp", name + ".dat"])
    #expect(files == [file, file + ".gp", file + ".dat"])
    let picture = try String(contentsOfFile: file, encoding: .utf8)
    let shown = oneLine(name).replacing("&", with: "&amp;").replacing("<", with: "&lt;")
    #expect(picture.contains(shown), "\(picture)")
    // The script that is kept draws it again.
    try FileManager.default.removeItem(atPath: file)
    _ = try await ChildProcess.run(.name("gnuplot"), ["./" + name + ".gp"], in: folder)
    #expect(try String(contentsOfFile: file, encoding: .utf8).contains(shown))
    #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == Set(names))
  }

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
