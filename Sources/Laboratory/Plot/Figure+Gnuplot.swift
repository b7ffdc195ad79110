extension Figure {
  /// What the figure is drawn on.
  enum Canvas {
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
  var data: String {
    var text = "# \(oneLine(title))\n"
    for panel in panels {
      for curve in panel.curves {
        text += "# \(oneLine("\(panel.title): \(curve.label)")): x, y, low, high\n"
        for point in curve.points {
          text += "\(point.x) \(point.y) \(point.low ?? point.y) \(point.high ?? point.y)\n"
        }
        text += "\n\n# \(oneLine("\(panel.title): \(curve.label)")): law: x, y, low, high\n"
        for sample in curve.law {
          text += "\(sample.x) \(sample.y) \(sample.low ?? sample.y) \(sample.high ?? sample.y)\n"
        }
        if curve.law.isEmpty { text += "NaN NaN NaN NaN\n" }
        text += "\n\n"
      }
    }
    return text
  }

  /// The gnuplot script.
  /// - Parameters:
  ///   - output: the picture's file, as the script names it.
  ///   - dataFile: the data's file, as the script names it.
  func script(output: String, dataFile: String, canvas: Canvas) -> String {
    let rows = panels.map { legendRows($0) }.max() ?? 1
    let plotHeight = 430
    let legendHeight = 24 * rows + 14
    let width = panels.count == 1 ? 860 : 740 * panels.count
    let height = plotHeight + legendHeight + (title.isEmpty ? 20 : 50)
    var lines = [
      "# Draw again with: gnuplot \(oneLine(output.split(separator: "/").last.map(String.init) ?? output)).gp",
      Self.terminal(canvas, width: width, height: height), "set output \(quoted(output))",
      "data = \(quoted(dataFile))", "set encoding utf8", "set border 3 lc rgb \"\(Self.ink)\" lw 1",
      "set tics nomirror out textcolor rgb \"\(Self.ink)\"",
      "set grid xtics ytics lc rgb \"\(Self.gridInk)\" lw 1 dt 1", "set mxtics default", "unset mxtics",
      axis("x", xAxis), axis("y", yAxis),
      "set xlabel \(quoted(escaped(xLabel))) textcolor rgb \"\(Self.ink)\"",
      "set key at screen 0,0 left bottom",
    ]
    let top = 1 - (title.isEmpty ? 34.0 : 66.0) / Double(height)
    let bottom = Double(legendHeight + 74) / Double(height)
    lines.append(
      "set multiplot title \(quoted(title.isEmpty ? "" : "{/:Bold \(escaped(title))}")) font \",15\" textcolor rgb \"\(Self.ink)\""
    )
    for (number, panel) in panels.enumerated() {
      let share = 1 / Double(panels.count)
      let left = share * Double(number) + 140 / Double(width)
      let right = share * Double(number + 1) - 22 / Double(width)
      lines += [
        "set lmargin at screen \(left)", "set rmargin at screen \(right)", "set tmargin at screen \(top)",
        "set bmargin at screen \(bottom)",
        "set title \(quoted(escaped(panel.title))) font \",13\" offset 0,-0.4 textcolor rgb \"\(Self.ink)\"",
        number == 0
          ? "set ylabel \(quoted(escaped(yLabel))) offset -0.5,0 textcolor rgb \"\(Self.ink)\""
          : "unset ylabel",
        "set key at screen \(left - 88 / Double(width)),\(Double(legendHeight) / Double(height)) left top"
          + " maxrows \(legendRows(panel)) Left reverse samplen 2 spacing 1.15 font \",12\" textcolor rgb \"\(Self.ink)\"",
        range(panel), plot(panel, firstIndex: firstIndex(of: number)),
      ]
    }
    lines.append("unset multiplot")
    return lines.joined(separator: "\n") + "\n"
  }

  private func legendRows(_ panel: Panel) -> Int { (panel.curves.count + 1) / 2 }

  private func firstIndex(of panel: Int) -> Int { panels[..<panel].reduce(0) { $0 + 2 * $1.curves.count } }

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

  private func axis(_ name: String, _ axis: Axis) -> String {
    switch axis {
    case .length:
      let all = panels.flatMap { $0.curves.flatMap { $0.points.map(\.x) } }
      let tics = Self.powersOfTwo(from: all.min() ?? 1, to: all.max() ?? 1)
        .map { "\"\(Self.short($0))\" \($0)" }
      return "set logscale \(name) 2\nset \(name)tics (\(tics.joined(separator: ", ")))"
    case .seconds: return "set logscale \(name) 10\nset format \(name) \"%.0s %cs\"\nset micro"
    case .bytes:
      let all = panels.flatMap { $0.curves.flatMap { $0.points.map(\.y) } }.filter { $0 > 0 }
      let tics = Self.powersOfTwo(from: all.min() ?? 1, to: all.max() ?? 1, step: 2)
        .map {
          "\"\(Quantity.describe(bytes: Double($0)).replacing(".00", with: "").replacing(".0 ", with: " "))\" \($0)"
        }
      return "set logscale \(name) 2\nset \(name)tics (\(tics.joined(separator: ", ")))"
    case .number: return "set logscale \(name) 10\nset format \(name) \"%g\""
    case .share: return "set format \(name) \"%.0f %%\""
    case .plain: return "set format \(name) \"%g\""
    }
  }

  /// Room around the points, so that none lies on the frame.
  private func range(_ panel: Panel) -> String {
    let all = panels.flatMap(\.curves).flatMap(\.points)
    guard let low = all.map(\.x).min(), let high = all.map(\.x).max() else { return "" }
    var lines = ["set xrange [\(low / 1.15):\(high * 1.15)]"]
    if case .share = yAxis {
      let top = all.map(\.y).max() ?? 1
      lines.append("set yrange [0:\(max(10, top * 115))]")
    } else {
      var ends = all.flatMap { [$0.low ?? $0.y, $0.high ?? $0.y, $0.y] }.filter { $0 > 0 }
      if case .plain = yAxis, let guide = panel.guide { ends.append(guide) }
      if let bottom = ends.min(), let top = ends.max() {
        if case .plain = yAxis {
          let room = max(0.06 * (top - bottom), 1e-3 * top)
          lines.append("set yrange [\(bottom - room):\(top + room)]")
        } else {
          lines.append("set yrange [\(bottom / 1.6):\(top * 1.6)]")
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  private func plot(_ panel: Panel, firstIndex: Int) -> String {
    var parts: [String] = []
    let scale = { if case .share = yAxis { "*100" } else { "" } }()
    for (number, curve) in panel.curves.enumerated() where !curve.law.isEmpty {
      let index = firstIndex + 2 * number + 1
      let colour = Self.colours[curve.style % Self.colours.count]
      if curve.law.contains(where: { $0.low != nil && $0.high != nil }) {
        parts.append(
          "data index \(index) using 1:($3\(scale)):($4\(scale)) with filledcurves fc rgb \"\(colour)\" fs transparent solid 0.16 noborder notitle"
        )
      }
      parts.append("data index \(index) using 1:($2\(scale)) with lines lc rgb \"\(colour)\" lw 1.8 notitle")
    }
    for (number, curve) in panel.curves.enumerated() {
      let index = firstIndex + 2 * number
      let colour = Self.colours[curve.style % Self.colours.count]
      let shape = Self.shapes[curve.style % Self.shapes.count]
      if curve.points.contains(where: { $0.low != nil }) {
        parts.append(
          "data index \(index) using 1:($3\(scale)):(0):(($4-$3)\(scale)) with vectors nohead lc rgb \"\(colour)\" lw 1.4 notitle"
        )
      }
      // Without a law the points are joined, so that the eye can follow them.
      let how = curve.law.isEmpty ? "linespoints" : "points"
      parts.append(
        "data index \(index) using 1:($2\(scale)) with \(how) lc rgb \"\(colour)\" lw 1.4 pt \(shape) ps 0.85 title \(quoted(curve.label))"
      )
    }
    if let guide = panel.guide {
      parts.insert("\(guide) with lines lc rgb \"\(Self.ink)\" lw 1 dt (6,4) notitle", at: 0)
    }
    return "plot " + parts.joined(separator: ", \\\n  ")
  }

  static func powersOfTwo(from low: Double, to high: Double, step: Int = 1) -> [Int] {
    var value = 1
    while Double(value) * 1.01 < low, value < 1 << 60 { value <<= 1 }
    if Double(value) > low * 1.01, value > 1 { value >>= 1 }
    var values: [Int] = []
    while Double(value) <= high * 1.99 {
      values.append(value)
      // Above 2^60 there is no such length and no such size.
      guard value < 1 << 60 else { break }
      value <<= step
    }
    // A dozen labels at most.
    let skip = max(1, (values.count + 11) / 12)
    return values.enumerated().filter { $0.offset % skip == 0 }.map(\.element)
  }

  private static func short(_ value: Int) -> String {
    value >= 1 << 20 && value % (1 << 20) == 0
      ? "\(value >> 20)M" : value >= 1024 && value % 1024 == 0 ? "\(value >> 10)k" : "\(value)"
  }
}

/// Text in gnuplot's single quotes: in double ones it would run what stands between backquotes as a command.
func quoted(_ text: String) -> String { "'" + oneLine(text).replacing("'", with: "''") + "'" }

/// Text without line breaks and other control characters, which would end a comment or a quotation.
func oneLine(_ text: String) -> String {
  String(text.map { $0.isNewline || $0.unicodeScalars.contains { $0.value < 32 } ? " " : $0 })
}

/// Text in which gnuplot's enhanced mode sees no mark-up.
func escaped(_ text: String) -> String {
  var result = ""
  for character in text {
    if "_^{}@&~\\".contains(character) { result += "\\" }
    result.append(character)
  }
  return result
}
