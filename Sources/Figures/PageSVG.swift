import Foundation

/// A picture of gnuplot's as a part of a page: in the page's colours, curves marked as such, every mark with its value, and
/// without what repeats in each picture.
///
/// gnuplot writes a tag, or what belongs to one, on a line. The work is line by line, so that it takes time in proportion to
/// the picture's size.
struct PageSVG {
  /// The piece of a page.
  let text: String

  /// Reads a picture of a figure with one panel, or of panels one below the other, whose marks then have no values.
  /// - Parameters:
  ///   - svg: what gnuplot wrote.
  ///   - panel: the panel, whose scales the values of marks are told in.
  ///   - elements: what it consists of, in gnuplot's order.
  init(_ svg: [UInt8], panel: Figure.Panel, elements: [Figure.Element]) {
    var builder = Builder(panel: panel, elements: elements)
    for line in String(decoding: svg, as: UTF8.self).split(whereSeparator: \.isNewline) {
      builder.read(line.trimmingPrefix { $0 == " " || $0 == "\t" })
    }
    text = builder.lines.joined(separator: "\n")
  }

  /// The marks of all pictures of a page, once: they stand in it before the first picture.
  static let marks: String = {
    let diamond = "M0,-1.41 L1.41,0 0,1.41 -1.41,0Z", up = "M0,-1.33 L-1.33,.67 1.33,.67Z"
    let down = "M0,1.33 L-1.33,-.67 1.33,-.67Z"
    let star = "M-1,0H1M0,-1V1M-1,-1 1,1M-1,1 1,-1", circle = "M-1,0A1,1 0 1 0 1,0A1,1 0 1 0 -1,0Z"
    let square = "M-1,-1H1V1H-1Z"
    let shapes: [(number: Int, path: String, isFilled: Bool)] = [
      (0, "M-1,0H1M0,-1V1", false), (1, "M-1,-1 1,1M1,-1 -1,1", false), (2, star, false), (3, square, false),
      (4, square, true), (5, circle, false), (6, circle, true), (7, up, false), (8, up, true),
      (9, down, false),
      (10, down, true), (11, diamond, false), (12, diamond, true),
    ]
    let symbols = shapes.map { shape in
      "<path id=\"gpPt\(shape.number)\" d=\"\(shape.path)\" stroke=\"currentColor\" stroke-width=\".19\" "
        + "fill=\"\(shape.isFilled ? "currentColor" : "none")\"/>"
    }
    return "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs>"
      + symbols.joined() + "</defs></svg>"
  }()

  /// What is kept of the lines read so far.
  private struct Builder {
    let panel: Figure.Panel
    let elements: [Figure.Element]
    var lines: [String] = []
    private var isInDefinitions = false, hasBegun = false
    /// The values of the marks that the element being read will have.
    private var values: ArraySlice<String> = []

    init(panel: Figure.Panel, elements: [Figure.Element]) { (self.panel, self.elements) = (panel, elements) }

    mutating func read(_ line: Substring) {
      if line.hasPrefix("<svg") { hasBegun = true }
      guard hasBegun else { return }
      if line.hasPrefix("<defs>") { isInDefinitions = true }
      defer { if line.hasPrefix("</defs>") { isInDefinitions = false } }
      guard !isInDefinitions, !line.isEmpty, !line.hasPrefix("<desc>"), !line.hasPrefix("<title>Gnuplot"),
        !line.hasPrefix("<rect x=\"0\" y=\"0\"")
      else { return }
      if line.hasPrefix("<g id=\"gnuplot_plot_") { return begin(line) }
      if line == "</g>", let last = lines.last, last.hasPrefix("<g"), !last.dropFirst().contains("<") {
        lines.removeLast()
        return
      }
      add(line)
    }

    /// An element begins: `<g id="gnuplot_plot_3a" >`, its number from 1.
    private mutating func begin(_ line: Substring) {
      let digits = line.dropFirst("<g id=\"gnuplot_plot_".count).prefix(while: \.isNumber)
      guard let number = Int(digits), elements.indices.contains(number - 1),
        let curve = elements[number - 1].curve
      else {
        values = []
        return lines.append("<g>")
      }
      values = elements[number - 1].hasMarks ? marked(curve)[...] : []
      lines.append("<g class=\"curve\" data-name=\"\(html(name(curve)))\">")
    }

    /// The name of a curve without mark-up.
    private func name(_ number: Int) -> String {
      guard panel.curves.indices.contains(number) else { return "" }
      let curve = panel.curves[number]
      return curve.name ?? curve.label.filter { !"\\{}".contains($0) }
    }

    /// What the marks of a curve say, one for each that gnuplot draws: it leaves out what has no place on the axes.
    private func marked(_ number: Int) -> [String] {
      guard panel.curves.indices.contains(number) else { return [] }
      let curve = panel.curves[number], name = name(number)
      func has(_ value: Double, _ scale: Figure.Scale) -> Bool {
        value.isFinite && (!scale.isLogarithmic || value > 0)
      }
      return curve.points.filter { has($0.x, panel.x.scale) && has($0.y, panel.y.scale) }.map { point in
        var text = "\(name) · \(panel.x.label): \(panel.x.scale.describe(point.x)) · "
        text += "\(panel.y.label): \(panel.y.scale.describe(point.y))"
        if let low = point.low, let high = point.high, low < high {
          text += " (\(panel.y.scale.describe(low)) … \(panel.y.scale.describe(high)))"
        }
        return text
      }
    }

    private mutating func add(_ line: Substring) {
      var text = String(line)
      if text.contains("rgb(") {
        for (old, new) in PageSVG.colours { text = text.replacing(old, with: new) }
      }
      for (old, new) in PageSVG.replacements { text = text.replacing(old, with: new) }
      guard let value = values.first, text.hasSuffix("/>"), let use = text.firstRange(of: "<use ") else {
        return lines.append(text)
      }
      values.removeFirst()
      let mark = text[use.lowerBound...].dropLast(2)
      lines.append("\(text[..<use.lowerBound])\(mark)><title>\(html(value))</title></use>")
    }
  }

  /// Colours of the page for those of the file, and nothing where a value is what it would be anyway.
  private static let replacements: [(String, String)] = [
    ("rgb( 31,  35,  40)", "var(--ink)"), ("rgb(31,35,40)", "var(--ink)"),
    ("rgb(208, 215, 222)", "var(--line)"), (" xmlns=\"http://www.w3.org/2000/svg\"", ""),
    (" xmlns:xlink=\"http://www.w3.org/1999/xlink\"", ""), ("xmlns=\"http://www.w3.org/2000/svg\"", ""),
    ("xmlns:xlink=\"http://www.w3.org/1999/xlink\"", ""), ("xlink:href=", "href="),
    (" stroke-linecap=\"butt\" stroke-linejoin=\"miter\"", ""), (" shape-rendering='crispEdges'", ""),
    (" font-family=\"DejaVu Sans,Helvetica,Arial\"", ""), (" id=\"gnuplot_canvas\"", ""),
    (" class=\"gridline\"", ""), ("<tspan >", "<tspan>"), ("  ", " "),
  ]

  /// The colours of curves, in both forms that gnuplot writes, by their names on the page.
  private static let colours: [(String, String)] = Figure.colours.enumerated().flatMap { number, colour in
    ["%3d, %3d, %3d", "%d,%d,%d"].map { form in
      ("rgb(\(components(colour, form)))", "var(--c\(number))")
    }
  }

  /// `#0072B2` as gnuplot writes it.
  private static func components(_ colour: String, _ form: String) -> String {
    let bits = Int(colour.dropFirst(), radix: 16) ?? 0
    return String(format: form, bits >> 16, bits >> 8 & 255, bits & 255)
  }

  /// The colours of curves as a page names them, on paper and on a dark ground.
  static let palette: String = {
    func names(_ colours: [String]) -> String {
      ":root { " + colours.enumerated().map { "--c\($0): \($1);" }.joined(separator: " ") + " }"
    }
    return names(Figure.colours) + "\n@media (prefers-color-scheme: dark) { \(names(Figure.darkColours)) }\n"
  }()
}
