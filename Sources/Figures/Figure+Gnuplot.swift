import Foundation

extension Figure {
  /// What the figure is drawn on.
  package enum Canvas {
    case svg(isTransparent: Bool), png, pdf

    /// The kind of a file's extension.
    init?(file: String) {
      switch file.split(separator: ".").last?.lowercased() {
      case "svg": self = .svg(isTransparent: false)
      case "png": self = .png
      case "pdf": self = .pdf
      default: return nil
      }
    }
  }

  /// The colour of text and frames; the report replaces it by the colour of its own text.
  static let ink = "#1F2328"
  /// The colour of grid lines, likewise.
  static let gridInk = "#D0D7DE"

  /// The data file: one block a curve for its points, one for its law, as gnuplot's `index` counts them.
  package var data: String {
    var text = "# \(oneLine(title))\n"
    for panel in panels {
      for curve in panel.curves {
        for (name, points) in [("points", curve.points), ("law", curve.law)] {
          text += "# \(oneLine("\(panel.title): \(curve.label)")): \(name): x, y, low, high\n"
          for point in points.isEmpty ? [Point(x: .nan, y: .nan)] : points {
            let numbers = [point.x, point.y, point.low ?? point.y, point.high ?? point.y]
            text += numbers.map { $0.isFinite ? "\($0)" : "NaN" }.joined(separator: " ") + "\n"
          }
          text += "\n\n"
        }
      }
    }
    return text
  }

  /// Where a panel stands, in pixels from the left and from above.
  private struct Frame {
    var left, right, top, bottom: Double
    /// Where its legend begins.
    var legend: Double
  }

  /// The gnuplot script.
  /// - Parameters:
  ///   - output: the picture's file, as the script names it.
  ///   - dataFile: the data's file, as the script names it.
  package func script(output: String, dataFile: String, canvas: Canvas) -> String {
    let (frames, width, height) = layout()
    var lines = [
      Gnuplot.advice(of: output),
      Self.terminal(canvas, width: width, height: height), "set output \(quoted(output))",
      "data = \(quoted(dataFile))", "set encoding utf8", "set border 3 lc rgb \"\(Self.ink)\" lw 1",
      "set tics nomirror out textcolor rgb \"\(Self.ink)\"",
      "set grid xtics ytics lc rgb \"\(Self.gridInk)\" lw 1 dt 1", "unset mxtics", "unset mytics",
    ]
    let bold = title.isEmpty ? "" : "{/:Bold \(escaped(title))}"
    lines.append("set multiplot title \(quoted(bold)) font \",15\" textcolor rgb \"\(Self.ink)\"")
    var index = 0
    for (panel, frame) in zip(panels, frames) {
      func x(_ pixels: Double) -> Double { pixels / Double(width) }
      func y(_ pixels: Double) -> Double { 1 - pixels / Double(height) }
      // Panels side by side have one label for all.
      let isFirst = frame.left == frames[0].left
      let ink = "textcolor rgb \"\(Self.ink)\""
      lines.append("set lmargin at screen \(x(frame.left))\nset rmargin at screen \(x(frame.right))")
      lines.append("set tmargin at screen \(y(frame.top))\nset bmargin at screen \(y(frame.bottom))")
      lines.append("set title \(quoted(escaped(panel.title))) font \",13\" offset 0,-0.4 \(ink)")
      lines.append("set xlabel \(quoted(escaped(panel.x.label))) \(ink)")
      lines.append("set ylabel \(quoted(isFirst ? escaped(panel.y.label) : "")) offset -0.5,0 \(ink)")
      let place = "\(x(frame.left - 88)),\(y(frame.legend)) left top maxrows \(legendRows(panel))"
      lines.append(
        "set key at screen \(place) Left reverse samplen 2 spacing 1.15 font \",12\" \(ink)")
      let across = panel.x.scale.range(sharing(panel, \.x).flatMap(\.across))
      let upwards = panel.y.scale.range(sharing(panel, \.y).flatMap(\.upwards))
      lines.append(axis("x", panel.x.scale, range: across))
      lines.append(axis("y", panel.y.scale, range: upwards))
      lines.append("unset label\nunset arrow")
      lines += Self.labels(
        panel, across: across, upwards: upwards,
        size: (frame.right - frame.left, frame.bottom - frame.top))
      lines.append(plot(panel, firstIndex: index))
      index += 2 * panel.curves.count
    }
    lines.append("unset multiplot")
    return lines.joined(separator: "\n") + "\n"
  }

  /// Panels side by side share both axes; those one below the other share what lies across.
  private func sharing(_ panel: Panel, _ axis: KeyPath<Panel, Axis>) -> [Panel] {
    guard arrangement == .row || axis == \Panel.x else { return [panel] }
    return (companions.isEmpty ? panels : companions).filter { $0[keyPath: axis] == panel[keyPath: axis] }
  }

  /// The pixels that a panel has across. On a page, which makes pictures as wide as there is room, fewer make larger letters.
  private var width: Double {
    guard companions.isEmpty else { return 580 }
    return panels.count == 1 || arrangement == .column ? 860 : 740
  }

  private func layout() -> (frames: [Frame], width: Int, height: Int) {
    let isRow = arrangement == .row
    let cell = width
    let rows = panels.map { legendRows($0) }
    var top = title.isEmpty ? 34.0 : 66.0
    var frames: [Frame] = []
    for (number, panel) in panels.enumerated() {
      let left = isRow ? cell * Double(number) : 0
      let bottom = top + (isRow ? 326 : 290 * panel.height)
      frames.append(
        Frame(
          left: left + 140, right: left + cell - room(panel, width: cell - 162), top: top, bottom: bottom,
          legend: bottom + 74))
      if !isRow { top = bottom + 74 + Double(24 * rows[number]) + 40 }
    }
    let below = isRow ? rows.max() ?? 0 : rows.last ?? 0
    let height = (frames.last?.legend ?? 400) + Double(24 * below) + 14
    return (frames, Int(isRow ? cell * Double(max(1, panels.count)) : cell), Int(height))
  }

  /// The pixels that the last number across needs beside the frame: it is centred on its tick.
  private func room(_ panel: Panel, width: Double) -> Double {
    let least = 22.0, scale = panel.x.scale
    guard let range = scale.range(sharing(panel, \.x).flatMap(\.across)),
      let last = scale.ticks(in: range).last(where: { $0 <= range.upperBound })
    else { return least }
    // A digit is 0.64 of the size of the letters wide, which is 14 pixels at most.
    let signs =
      scale.texts(scale.ticks(in: range)).map { text in text.count { !"{}^".contains($0) } }.max() ?? 0
    let isLog = scale.base != nil
    let (low, high) = (range.lowerBound, range.upperBound)
    let beyond =
      isLog ? Foundation.log(high / last) / Foundation.log(high / low) : (high - last) / (high - low)
    return max(least, 4.5 * Double(signs) - beyond * width + 4)
  }

  private func legendRows(_ panel: Panel) -> Int {
    let names = panel.curves.flatMap { [$0.label, $0.bandLabel] }.filter { !$0.isEmpty }
    // Two names stand beside each other where both fit. A letter is some 7 pixels wide on a page and up to 9 in a PNG, the sample
    // before it 50.
    let longest = names.map { name in name.count { !"{}^\\".contains($0) } }.max() ?? 0
    let letter = companions.isEmpty ? 9 : 7
    let columns = Double(letter * longest + 50) < (width - 52) / 2 ? 2 : 1
    return (names.count + columns - 1) / columns
  }

  static func terminal(_ canvas: Canvas, width: Int, height: Int) -> String {
    let font = "DejaVu Sans,Helvetica,Arial"
    switch canvas {
    case .svg(let isTransparent):
      return
        "set terminal svg size \(width),\(height) dynamic enhanced font \"\(font),\(isTransparent ? 14 : 12)\""
        + (isTransparent ? "" : " background rgb \"white\"")
    case .png:
      return
        "set terminal pngcairo size \(2 * width),\(2 * height) enhanced font \"DejaVu Sans,12\" fontscale 2 lw 2"
        + " ps 1.6 background rgb \"white\""
    case .pdf:
      return "set terminal pdfcairo size \(Double(width) / 96)in,\(Double(height) / 96)in enhanced"
        + " font \"DejaVu Sans,9\" background rgb \"white\""
    }
  }

  private func axis(_ name: String, _ scale: Scale, range: ClosedRange<Double>?) -> String {
    let log = scale.base.map { "set logscale \(name) \($0)" } ?? "unset logscale \(name)"
    guard let range else {
      return "\(log)\nset \(name)range [*:*]\nset \(name)tics autofreq"
    }
    // gnuplot takes the text at a tick for a format.
    let values = scale.ticks(in: range)
    let ticks = zip(values, scale.texts(values)).map { value, text in
      "\(quoted(text.replacing("%", with: "%%"))) \(value * scale.factor)"
    }
    return [
      log, "set \(name)tics (\(ticks.joined(separator: ", ")))",
      "set \(name)range [\(range.lowerBound * scale.factor):\(range.upperBound * scale.factor)]",
    ].joined(separator: "\n")
  }

  private func plot(_ panel: Panel, firstIndex: Int) -> String {
    "plot " + elements(panel, firstIndex: firstIndex).map(\.text).joined(separator: ", \\\n  ")
  }

  /// What gnuplot draws as one thing.
  struct Element {
    /// The curve that it belongs to.
    var curve: Int?
    /// Whether it draws a mark for each point.
    var hasMarks = false
    /// How the script says it.
    var text: String
  }

  /// What a panel consists of, in the order in which it is drawn and numbered.
  func elements(_ panel: Panel, firstIndex: Int = 0) -> [Element] {
    func columns(_ numbers: String) -> String {
      numbers.split(separator: " ").map { "($\($0)*\(panel.y.scale.factor))" }.joined(separator: ":")
    }
    func name(_ label: String) -> String { label.isEmpty ? "notitle" : "title \(quoted(label))" }
    var parts: [Element] = []
    if let guide = panel.guide {
      parts.append(
        Element(
          text: "\(guide * panel.y.scale.factor) with lines lc rgb \"\(Self.ink)\" lw 1 dt (6,4) notitle"))
    }
    for (number, curve) in panel.curves.enumerated() where !curve.law.isEmpty {
      let data = "data index \(firstIndex + 2 * number + 1) using 1"
      let colour = Self.colour(curve.style)
      if curve.law.contains(where: { $0.low != nil && $0.high != nil }) {
        parts.append(
          Element(
            curve: number,
            text:
              "\(data):\(columns("3 4")) with filledcurves fc rgb \"\(colour)\" fs transparent solid 0.16 noborder \(name(curve.bandLabel))"
          ))
      }
      let dash = curve.isDashed ? " dt (6,4)" : ""
      let own = curve.points.isEmpty ? name(curve.label) : "notitle"
      parts.append(
        Element(
          curve: number,
          text: "\(data):\(columns("2")) with lines lc rgb \"\(colour)\" lw 1.8\(dash) \(own)"))
    }
    for (number, curve) in panel.curves.enumerated() where !curve.points.isEmpty {
      let data = "data index \(firstIndex + 2 * number) using 1"
      let colour = Self.colour(curve.style)
      let shape = Self.shape(curve.style)
      if curve.points.contains(where: { $0.low != nil }) {
        parts.append(
          Element(
            curve: number,
            text:
              "\(data):\(columns("3")):(0):(($4-$3)*\(panel.y.scale.factor)) with vectors nohead lc rgb \"\(colour)\" lw 1.4 notitle"
          ))
      }
      // Without a law the points are joined, so that the eye can follow them.
      let how = curve.law.isEmpty && panel.joinsPoints ? "linespoints" : "points"
      parts.append(
        Element(
          curve: number, hasMarks: true,
          text:
            "\(data):\(columns("2")) with \(how) lc rgb \"\(colour)\" lw 1.4 pt \(shape) ps 0.85 \(name(curve.label))"
        ))
    }
    return parts
  }
}

extension Figure.Panel {
  /// What must be seen across.
  fileprivate var across: [Double] { curves.flatMap { ($0.points + $0.law).map(\.x) } }

  /// What must be seen upwards: marks and lines whole, bars and bands as far as once their height beyond.
  fileprivate var upwards: [Double] {
    let all = curves.flatMap { $0.points + $0.law }
    var solid = all.map(\.y).filter { $0.isFinite && (y.scale.base == nil || $0 > 0) }
    if let guide { solid.append(guide) }
    guard let low = solid.min(), let high = solid.max() else { return [] }
    let wide = all.flatMap { [$0.low, $0.high].compactMap(\.self) }
    if y.scale.base != nil { return solid + wide.filter { $0 > low * low / high && $0 < high * high / low } }
    return solid + wide.filter { $0 > 2 * low - high && $0 < 2 * high - low }
  }
}
