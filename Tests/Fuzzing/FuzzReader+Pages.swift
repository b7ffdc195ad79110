import Basics
import Figures
import Foundation

/// Text of a user in pages and in scripts for gnuplot.
extension FuzzReader {
  private static let texts = [
    "expression=i - j < 10 || j % 3 == 0", "a <b>&amp; \"c\" 'd'</script><script>alert(1)</script>",
    "x_{1}^2 `rm -rf` @v %s %% \\n ~a{.1b}", "Zeile\nzwei\tdrei\u{0}\u{1B}[2J", "“ü”\u{202E}\u{200D}😀",
    "<!-- ]]> -->",
  ]

  /// HTML: a page with any text has the tags of a page with harmless text, and shows that text.
  static let html = FuzzReader(text: "html", texts) { text in
    func page(_ text: String) -> String {
      HTML.page(
        title: text,
        body: HTML.table([text, text], [[text, "1"]], caption: text) + HTML.list([(text, text)])
          + HTML.folded(text, Figures.html(text)) + HTML.figure(["<svg></svg>"], text, command: text))
    }
    let (tags, shown) = try split(page(text))
    // Without a text some tags are not written at all.
    let (harmless, places) = try split(page(text.isEmpty ? "" : "zqzq"))
    try expect(tags == harmless, "tags \(tags.joined()) for \(Basics.shown(text))")
    let expected = places.map { replacing("zqzq", in: $0, with: text) }
    // The style stands between tags too; it is the same in both.
    try expect(shown == expected, "\(Basics.shown(text)) is shown as something else")
    let data = HTML.data(.object(["caption": .string(text)]))
    try expect(
      data.unicodeScalars.count { $0 == "<" } == 2, "\(Basics.shown(text)) has tags in a page's data")
  }

  /// Tags, and the text between them with references resolved.
  private static func split(_ page: String) throws -> (tags: [String], texts: [String]) {
    var tags: [String] = [], texts: [String] = [""]
    var tag: String?
    for character in page.unicodeScalars {
      if var open = tag {
        open.unicodeScalars.append(character)
        tag = open
        if character == ">" {
          tags.append(open)
          texts.append("")
          tag = nil
        }
      } else if character == "<" {
        tag = "<"
      } else {
        texts[texts.count - 1].unicodeScalars.append(character)
      }
    }
    try expect(tag == nil, "a tag that does not end")
    let marks = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")]
    return (tags, texts.map { text in marks.reduce(text) { replacing($1.0, in: $0, with: $1.1) } })
  }

  /// Unit by unit, as a browser does: to Swift's own `replacing`, a mark before a combining character is another character.
  private static func replacing(_ mark: String, in text: String, with other: String) -> String {
    text.replacingOccurrences(of: mark, with: other, options: .literal)
  }

  /// gnuplot: a script with any text has the commands of one with harmless text, and every string means what it was given.
  static let gnuplot = FuzzReader(text: "gnuplot", texts) { text in
    let literal = quoted(text)
    try expect(try unquoted(literal) == text, "\(shown(text)) becomes \(shown(literal))")
    func commands(_ text: String) -> [String] {
      let axis = Figure.Axis(escaped(text), .length)
      let curve = Figure.Curve(
        label: escaped(text), points: [.init(x: 1, y: 2), .init(x: 2, y: 3)], style: 0)
      let panel = Figure.Panel(title: text, x: axis, y: axis, curves: [curve])
      let figure = Figure(title: text, panels: [panel])
      let script = figure.script(output: text, dataFile: text, canvas: .png)
      return script.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map {
        outside(String($0))
      }
    }
    let (found, harmless) = (commands(text), commands(text.isEmpty ? "" : "zqzq"))
    try expect(found.count == harmless.count, "\(found.count) lines for \(harmless.count)")
    for (line, other) in zip(found, harmless) where !line.hasPrefix("#") {
      try expect(line == other, "\(shown(line)) instead of \(shown(other))")
    }
    let data = Figure(title: text, panels: []).data
    try expect(
      data.utf8.starts(with: "# ".utf8) && data.unicodeScalars.dropLast().allSatisfy { $0 != "\n" },
      "a comment of several lines")
  }

  /// A line without what stands between double quotes.
  private static func outside(_ line: String) -> String {
    if line.utf8.first == UInt8(ascii: "#") { return "#" }
    return line.unicodeScalars.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
      .filter { $0.offset % 2 == 0 }.map { String(String.UnicodeScalarView($0.element)) }.joined(
        separator: "\"\"")
  }

  /// What gnuplot makes of a string in double quotes.
  private static func unquoted(_ literal: String) throws -> String {
    var scalars = Array(literal.unicodeScalars)
    try expect(
      scalars.count >= 2 && scalars.first == "\"" && scalars.last == "\"", "no string: \(shown(literal))")
    scalars = Array(scalars.dropFirst().dropLast())
    var result = String.UnicodeScalarView()
    var place = 0
    while place < scalars.count {
      let scalar = scalars[place]
      try expect(!"\"`\n".unicodeScalars.contains(scalar), "\(shown(literal)) ends early")
      guard scalar == "\\" else {
        result.append(scalar)
        place += 1
        continue
      }
      let digits = String(String.UnicodeScalarView(scalars[(place + 1)..<min(scalars.count, place + 4)]))
      guard let value = UInt32(digits, radix: 8), let scalar = Unicode.Scalar(value) else {
        throw FuzzFailure("no escape: \(shown(literal))")
      }
      result.append(scalar)
      place += 4
    }
    return String(result)
  }
}
