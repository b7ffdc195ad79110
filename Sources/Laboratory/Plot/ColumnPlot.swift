import Basics

/// Figures of any results file: one column over another, a curve a value of a third.
public enum ColumnPlot {
  /// What is drawn from a table.
  public struct Request: Sendable {
    /// The column of the variable.
    public var x: String
    /// The column of the value.
    public var y: String
    /// The column that tells curves apart.
    public var by: String?
    /// The title.
    public var title: String
    /// Whether `a·x^b + c` is fitted to each curve.
    public var fits: Bool

    /// Creates a request.
    public init(x: String, y: String, by: String? = nil, title: String = "", fits: Bool = true) {
      self.x = x
      self.y = y
      self.by = by
      self.title = title
      self.fits = fits
    }
  }

  /// The figure of a table.
  /// - Throws: `UsageError` for a column that does not exist or is no number.
  public static func figure(_ table: CSVTable, _ request: Request) throws(UsageError) -> Figure {
    let xs = try table.numbers(request.x)
    let ys = try table.numbers(request.y)
    let groups = try request.by.map { name throws(UsageError) in try table.strings(name) }
    let points = xs.indices.compactMap { index -> (group: String, x: Double, y: Double)? in
      guard let x = xs[index], let y = ys[index], x > 0, y > 0, x.isFinite, y.isFinite else { return nil }
      return (groups?[index] ?? request.y, x, y)
    }
    guard !points.isEmpty else {
      throw UsageError(
        "\(table.file): no row has a positive \(request.x) and \(request.y) to draw on log–log axes")
    }
    let curves = points.grouped(by: \.group).enumerated().map { style, points in
      let group = points.key
      let sorted = points.elements.map { ($0.x, $0.y) }.sorted { $0.0 < $1.0 }
      let drawn = sorted.map { Figure.Point(x: $0.0, y: $0.1) }
      guard request.fits else { return Figure.Curve(label: escaped(group), points: drawn, style: style) }
      let growth = Growth(sorted)
      return Figure.Curve(
        label: MeasurementPlot.legend(group, growth, variable: request.x), points: drawn,
        law: MeasurementPlot.law(growth, over: drawn), style: style)
    }
    return Figure(
      title: request.title, xLabel: label(request.x), yLabel: label(request.y),
      xAxis: request.x.hasSuffix("length") || request.x == "n" ? .length : .number, yAxis: axis(request.y),
      panels: [Figure.Panel(title: "", curves: curves)])
  }

  /// A column's name as an axis: units are in the names of columns.
  private static func label(_ column: String) -> String {
    for (suffix, unit) in [
      ("_bytes", "bytes"), ("seconds", "s"), ("gflops", "GFLOP/s"), ("length", "tokens"),
    ]
    where column.contains(suffix) {
      return "\(column.replacing("_", with: " ")) (\(unit))"
    }
    return column.replacing("_", with: " ")
  }

  private static func axis(_ column: String) -> Figure.Axis {
    column.contains("seconds") ? .seconds : column.hasSuffix("bytes") ? .bytes : .number
  }
}
