import Basics
import Testing

@testable import Figures

@Suite struct PageTests {
  static let axis = (x: Figure.Axis("length n", .length), y: Figure.Axis("time", .seconds))

  static func panel(_ title: String, _ curves: [(name: String, values: [Double])]) -> Figure.Panel {
    Figure.Panel(
      title: title, x: axis.x, y: axis.y,
      curves: curves.enumerated().map { style, curve in
        Figure.Curve(
          label: escaped(curve.name),
          points: curve.values.enumerated().map { .init(x: Double(256 << $0), y: $1) }, style: style)
      })
  }

  @Test("Panels of a row are a picture each, on the same axes; panels of a column stay together")
  func pieces() {
    let panels = [Self.panel("a", [("full", [1e-3, 2e-3])]), Self.panel("b", [("full", [0.5, 4])])]
    let pieces = Figure(title: "", panels: panels).pieces
    #expect(pieces.map { $0.panels.map(\.title) } == [["a"], ["b"]])
    let ranges = pieces.map { piece in
      piece.script(output: "./a", dataFile: "./b", canvas: .svg(isTransparent: true)).split(separator: "\n")
        .filter { $0.hasPrefix("set yrange") }
    }
    #expect(ranges[0] == ranges[1] && ranges[0].count == 1)
    #expect(Figure(title: "", panels: panels, arrangement: .column).pieces.count == 1)
  }

  @Test("Every mark of a picture in a page tells its values, and every curve its name")
  func marks() async throws {
    let figure = Figure(
      title: "",
      panels: [
        Self.panel("a", [("a_b{c} <x>", [1e-3, .nan, 2e-3, -1]), ("other", [5e-3])]),
        Self.panel("b", [("other", [3, 4])]),
      ])
    let pictures = try #require(try await Gnuplot.inlineSVG(figure))
    #expect(pictures.count == 2)
    let titles = pictures.map { $0.split(separator: "<title>").dropFirst().map { $0.prefix { $0 != "<" } } }
    #expect(
      titles[0] == [
        "a_bc &lt;x&gt; · length n: 256 · time: 1.00 ms", "a_bc &lt;x&gt; · length n: 1024 · time: 2.00 ms",
        "other · length n: 256 · time: 5.00 ms",
      ])
    #expect(titles[1].count == 2 && pictures[1].contains("data-name=\"other\""))
    for picture in pictures {
      #expect(picture.hasPrefix("<svg") && picture.hasSuffix("</svg>"))
      // Colours are those of the page; marks are defined once in it.
      #expect(!picture.contains("31,  35,  40") && !picture.contains("<defs>"))
      #expect(!picture.contains("rgb(  0, 114, 178)") && picture.contains("var(--c0)"))
      #expect(picture.count("<g") == picture.count("</g>"))
      for use in picture.split(separator: "href='#").dropFirst() {
        #expect(HTML.marks.contains("id=\"\(use.prefix { $0 != "'" })\""))
      }
    }
  }

  @Test("Panels in which no curve leaves its place are no picture")
  func lonePoints() {
    let figure = Figure(
      title: "", panels: [Self.panel("a", [("x", [1]), ("y", [2])]), Self.panel("b", [("x", [1, 2])])])
    #expect(figure.withoutLonePoints.panels.map(\.title) == ["b"])
  }

  @Test("The list of contents leads to every heading; a page of two parts has none")
  func contents() {
    let body = (1...4).map { "<h2>part &amp; \($0)</h2><p>text</p>" }.joined()
    let (list, named) = HTML.contents(body)
    for number in 0..<4 {
      #expect(list.contains("<a href=\"#part-\(number)\">part &amp; \(number + 1)</a>"))
      #expect(named.contains("<h2 id=\"part-\(number)\">part &amp; \(number + 1)</h2><p>text</p>"))
    }
    #expect(HTML.contents("<h2>a</h2>b<h2>c") == ("", "<h2>a</h2>b<h2>c"))
  }

  @Test(
    "A mark before a combining character is still a mark", arguments: ["&", "<", ">", "\"", "'", "_", "^"])
  func combining(_ mark: String) {
    let text = mark + "\u{301}x"
    if "&<>\"".contains(mark) {
      #expect(html(text).utf8.starts(with: "&".utf8) && html(text).utf8.contains(UInt8(ascii: ";")))
    }
    if mark == "'" { #expect(shellQuoted(text).utf8.starts(with: "''\\''".utf8)) }
    if mark == "\"" { #expect(csvField(text).utf8.elementsEqual("\"\"\"\u{301}x\"".utf8)) }
    if "_^".contains(mark) { #expect(escaped(text).hasPrefix("\\")) }
  }

  @Test("No text of a table ends the script that holds it")
  func data() throws {
    let text = "a,b\n</script><script>alert(1)</script>,<!--\n"
    let page = HTML.data(.object(["text": .string(text)]))
    #expect(page.count("<") == 2, "the tag and its end alone")
    let json = page.dropFirst("<script type=\"application/ld+json\">".count).prefix { $0 != "<" }
    #expect(try JSONValue(parsing: String(json))["text"].stringValue == text)
  }
}

extension String {
  /// How often a text stands in it.
  fileprivate func count(_ text: String) -> Int { ranges(of: text).count }
}
