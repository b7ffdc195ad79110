import Foundation

/// A chart of a fit for gnuplot: panels of points, lines and bands, drawn one below the other.
///
/// `Figure` draws curves over lengths side by side; a fit needs residuals under its curve, and axes of any kind.
///
/// ```swift
/// var panel = FitChart.Panel(xLabel: "n / tokens", yLabel: "time / s", xLog: true, yLog: true)
/// panel.series.append(.points("full", x: lengths, y: seconds, colour: 0))
/// panel.series.append(.band("", x: grid, low: low, high: high, colour: 0))
/// try await FitChart(title: "Time", panels: [panel]).draw(to: "time.svg")   // and its script and data beside it
/// ```
public struct FitChart: Sendable {
  /// One pair of axes.
  public struct Panel: Sendable {
    /// A line above the axes; empty for none.
    public var title: String
    /// The quantity and unit across.
    public var xLabel: String
    /// The quantity and unit upwards.
    public var yLabel: String
    /// Whether the axis across is logarithmic.
    public var xLog: Bool
    /// Whether the axis upwards is logarithmic.
    public var yLog: Bool
    /// What is drawn, in order.
    public var series: [Series]
    /// Height relative to the other panels.
    public var height: Double

    /// Empty axes.
    public init(
      title: String = "", xLabel: String, yLabel: String, xLog: Bool = false, yLog: Bool = false,
      series: [Series] = [], height: Double = 1
    ) {
      self.title = title
      self.xLabel = xLabel
      self.yLabel = yLabel
      self.xLog = xLog
      self.yLog = yLog
      self.series = series
      self.height = height
    }

    /// What must be seen upwards: marks and lines whole, bars and bands as far as once their height beyond.
    var heights: [Double] {
      let solid = series.filter { $0.kind != .band }.flatMap { $0.rows.map { $0[1] } }.filter(\.isFinite)
      guard let low = solid.min(), let high = solid.max() else { return [] }
      let wide = series.filter { $0.kind == .band || $0.kind == .bars }.flatMap {
        $0.rows.flatMap { $0.suffix(2) }
      }
      if yLog {
        guard low > 0 else { return solid }
        return solid + wide.filter { $0 > low * low / high && $0 < high * high / low }
      }
      return solid + wide.filter { $0 > 2 * low - high && $0 < 2 * high - low }
    }
  }

  /// Points, a line or a band.
  public struct Series: Sendable {
    /// How it is drawn.
    public enum Kind: Sendable {
      /// Marks.
      case points
      /// Marks with vertical bars from `low` to `high`.
      case bars
      /// A line.
      case line
      /// A dashed line.
      case dashed
      /// A shaded area from `low` to `high`.
      case band
    }
    /// The name in the legend; empty to leave it out.
    public var label: String
    /// How it is drawn.
    public var kind: Kind
    /// The number of its colour in the palette, counted round.
    public var colour: Int
    /// Rows of x, y or x, low, high or x, y, low, high.
    public var rows: [[Double]]

    /// Marks.
    public static func points(_ label: String, x: [Double], y: [Double], colour: Int) -> Series {
      Series(label: label, kind: .points, colour: colour, rows: zip(x, y).map { [$0, $1] })
    }
    /// A line, dashed or not.
    public static func line(
      _ label: String, x: [Double], y: [Double], colour: Int, dashed: Bool = false
    ) -> Series {
      Series(
        label: label, kind: dashed ? .dashed : .line, colour: colour, rows: zip(x, y).map { [$0, $1] })
    }
    /// A shaded area.
    public static func band(
      _ label: String, x: [Double], low: [Double], high: [Double], colour: Int
    ) -> Series {
      Series(
        label: label, kind: .band, colour: colour, rows: zip(x, zip(low, high)).map { [$0, $1.0, $1.1] })
    }
    /// Marks with vertical bars.
    public static func bars(
      _ label: String, x: [Double], y: [Double], low: [Double], high: [Double], colour: Int
    ) -> Series {
      Series(
        label: label, kind: .bars, colour: colour,
        rows: x.indices.map { [x[$0], y[$0], low[$0], high[$0]] })
    }
  }

  /// The line above the chart.
  public var title: String
  /// The axes, from above.
  public var panels: [Panel]
  /// Width in pixels.
  public var width: Int
  /// Height of a panel of height 1 in pixels.
  public var panelHeight: Int

  /// A chart.
  public init(title: String, panels: [Panel], width: Int = 900, panelHeight: Int = 520) {
    self.title = title
    self.panels = panels
    self.width = width
    self.panelHeight = panelHeight
  }

  /// The data file: one block per series, with two empty lines between.
  var dataText: String {
    panels.flatMap(\.series).map { series in
      series.rows.map { $0.map { $0.isFinite ? "\($0)" : "NaN" }.joined(separator: " ") }
        .joined(separator: "\n") + "\n"
    }.joined(separator: "\n\n")
  }

  /// The script, which names its files without a folder so that it can be moved with them.
  func script(output: String, data: String, canvas: Figure.Canvas) -> String {
    let total = panels.map(\.height).reduce(0, +)
    let longest = panels.flatMap(\.series).map(\.label.count).max() ?? 0
    let height = Int(Double(panelHeight) * total) + (title.isEmpty ? 0 : 30)
    var lines = [
      "# Draw again with: gnuplot \(oneLine(String(output.split(separator: "/").last ?? ""))).gp",
      Figure.terminal(canvas, width: width, height: height),
      "set encoding utf8",
      "set output \(quoted(output))",
      "set style fill transparent solid 0.18 noborder",
      "set grid back lc rgb '\(Figure.gridInk)' lt 1",
      "set key at graph 1.02, graph 1 left top Left reverse samplen 1.5 spacing 0.9",
      "set rmargin \(longest == 0 ? 4 : longest + 8)",
      "set format x '%.6g'",
      "set format y '%.6g'",
      "set lmargin 12",
      panels.count > 1
        ? "set multiplot\(title.isEmpty ? "" : " title \(quoted(escaped(title)))")"
        : title.isEmpty ? "unset title" : "set title \(quoted(escaped(title)))",
    ]
    var index = 0
    let ceiling = title.isEmpty || panels.count == 1 ? 1.0 : 1 - 30 / Double(height)
    var top = ceiling
    for panel in panels {
      if panels.count > 1 {
        let share = panel.height / total * ceiling
        lines += [
          "set size 1, \(share)", "set origin 0, \(top - share)",
          panel.title.isEmpty ? "unset title" : "set title \(quoted(escaped(panel.title)))",
        ]
        top -= share
      }
      lines += Self.axes(panel)
      var parts: [String] = []
      for series in panel.series {
        parts.append("\(quoted(data)) index \(index) \(Self.style(series))")
        index += 1
      }
      lines.append("plot " + (parts.isEmpty ? "NaN notitle" : parts.joined(separator: ", \\\n  ")))
    }
    if panels.count > 1 { lines.append("unset multiplot") }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func axes(_ panel: Panel) -> [String] {
    [
      "set xlabel \(quoted(escaped(panel.xLabel)))", "set ylabel \(quoted(escaped(panel.yLabel)))",
      panel.xLog ? "set logscale x" : "unset logscale x",
      panel.yLog ? "set logscale y" : "unset logscale y",
      panel.xLog ? "set format x '10^{%L}'" : "set format x '%.6g'",
      panel.yLog ? "set format y '10^{%L}'" : "set format y '%.6g'",
      range("x", panel.series.flatMap { $0.rows.map { $0[0] } }, isLog: panel.xLog),
      range("y", panel.heights, isLog: panel.yLog),
    ]
  }

  /// The values and a little air: gnuplot's own choice goes on to the next decade, or cuts a mark in two.
  private static func range(_ axis: String, _ values: [Double], isLog: Bool) -> String {
    let usable = values.filter { $0.isFinite && (!isLog || $0 > 0) }
    guard let low = usable.min(), let high = usable.max(), high > low else { return "set \(axis)range [*:*]" }
    if isLog {
      let air = pow(high / low, 0.04)
      return "set \(axis)range [\(low / air):\(high * air)]"
    }
    let air = 0.04 * (high - low)
    return "set \(axis)range [\(low - air):\(high + air)]"
  }

  private static func style(_ series: Series) -> String {
    let colour = "lc rgb '\(Figure.colours[series.colour % Figure.colours.count])'"
    let name = series.label.isEmpty ? "notitle" : "title \(quoted(escaped(series.label)))"
    return switch series.kind {
    case .points: "using 1:2 with points pt 7 ps 0.7 \(colour) \(name)"
    case .bars: "using 1:2:3:4 with yerrorbars pt 7 ps 0.6 \(colour) \(name)"
    case .line: "using 1:2 with lines lw 2 \(colour) \(name)"
    case .dashed: "using 1:2 with lines lw 1.5 dt 2 \(colour) \(name)"
    case .band: "using 1:2:3 with filledcurves \(colour) \(name)"
    }
  }

  /// Draws the chart; script and data stay beside it.
  /// - Returns: the files written.
  /// - Throws: `UsageError` as `Gnuplot.draw`.
  public func draw(to file: String) async throws -> [String] {
    try await Gnuplot.draw(to: file, data: dataText) { output, data, canvas in
      script(output: output, data: data, canvas: canvas)
    }
  }
}
