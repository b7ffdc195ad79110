import Basics
import Figures
import Records

/// Figures of any results file: one column over another, a curve a value of a third.
public enum ColumnPlot {
  /// What is drawn from a table.
  public struct Request: Sendable {
    /// The variable: a column or a formula over columns.
    public var x: String
    /// The value: a column or a formula over columns.
    public var y: String
    /// What tells curves apart: a column or a formula over columns.
    public var by: String?
    /// The rows to keep; all when nil.
    public var filter: String?
    /// Derived columns, `NAME=FORMULA`.
    public var definitions: [String] = []
    /// The title.
    public var title: String
    /// Whether `a·x^b + c` is fitted to each curve.
    public var fits: Bool
    /// The columns of times, which belong to the machine that the row names.
    public var timeColumns: Set<String> = []
    /// The table of trainings that the rows belong to by `run_id`, where their own table does not say of which model they are.
    public var trainings: CSVTable?
    /// Which axes are logarithmic; `nil`: both, but for a loss over steps, tokens or time of a training.
    public var logarithmic: Logarithmic?

    /// Axes that are logarithmic.
    public enum Logarithmic: String, CaseIterable, Sendable {
      case x, y, both, none
    }

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
  /// - Parameters:
  ///   - table: the file.
  ///   - request: what is drawn over what.
  ///   - note: told which lines are left out, because a cell is empty or a value has no logarithm.
  /// - Throws: `UsageError` for a column that does not exist or a cell that is no finite number.
  public static func figure(
    _ table: CSVTable, _ request: Request, note: (String) -> Void = { _ in }
  ) throws -> Figure {
    let columns = try FitTable(table, definitions: request.definitions, timeColumns: request.timeColumns)
    let x = try columns.quantity(request.x, option: "--x"), y = try columns.quantity(request.y, option: "--y")
    let by = try request.by.map { try columns.quantity($0, option: "--by") }
    let filter = try request.filter.map { try columns.filter($0, option: "--where") }
    let isLog = logarithmic(request, x: x.label, y: y.label)
    var points: [(group: String, x: Double, y: Double)] = []
    var leftOut: [Int] = []
    let rows = try columns.rows(passing: filter)
    let machines = columns.machines(of: rows, reading: [x, y], splitBy: by)
    for number in rows {
      var row = RowValues(columns, row: number)
      guard let across = try row.value(of: x.expression), let up = try row.value(of: y.expression),
        across.isFinite, up.isFinite, across > 0 || !isLog.x, up > 0 || !isLog.y
      else {
        leftOut.append(row.line)
        continue
      }
      let group = try by.map { try row.text(of: $0.expression) } ?? y.label
      points.append(([group, machines?[number]].compactMap(\.self).joined(separator: ", "), across, up))
    }
    guard !points.isEmpty else {
      throw UsageError(
        "\(table.file): no row has a \(isLog.x ? "positive " : "")\(shown(x.label)) and a "
          + "\(isLog.y ? "positive " : "")\(shown(y.label)) to draw"
      )
    }
    if !leftOut.isEmpty {
      let isPositive = isLog.x || isLog.y ? " or a value that is not positive" : ""
      note(FitTable.leftOut(leftOut, "an empty cell\(isPositive)"))
    }
    let curves = points.grouped(by: \.group).enumerated().map { style, points in
      let group = points.key
      let sorted = points.elements.map { ($0.x, $0.y) }.sorted { $0.0 < $1.0 }
      let drawn = sorted.map { Figure.Point(x: $0.0, y: $0.1) }
      guard request.fits, isLog.x, isLog.y else {
        return Figure.Curve(label: escaped(group), points: drawn, style: style)
      }
      let growth = Growth(sorted)
      return Figure.Curve(
        label: MeasurementPlot.legend(group, growth, variable: x.label), points: drawn,
        law: MeasurementPlot.law(growth, over: drawn), style: style)
    }
    let losses = models(of: table, request.trainings).map { models in
      LossUnit.axis(models: rows.compactMap { models[$0] })
    }
    let panel = Figure.Panel(
      x: .column(x.label, isLog: isLog.x, losses: losses),
      y: .column(y.label, isLog: isLog.y, losses: losses),
      curves: curves)
    return Figure(title: request.title, panels: [panel])
  }

  /// The settings of the model that each row is of, which say what a loss is measured in; `nil`: rows of no training.
  private static func models(of table: CSVTable, _ trainings: CSVTable?) -> [String?]? {
    if let own = try? table.strings("model_configuration") { return own }
    guard let ids = try? table.strings("run_id"), let runs = try? trainings?.strings("run_id"),
      let models = try? trainings?.strings("model_configuration")
    else { return nil }
    let byID = Dictionary(zip(runs, models)) { first, _ in first }
    return ids.map { byID[$0] }
  }

  /// A loss over the course of a training falls fast, then slowly: on logarithmic axes the end, which counts, is a sliver.
  private static func logarithmic(_ request: Request, x: String, y: String) -> (x: Bool, y: Bool) {
    if let asked = request.logarithmic {
      return (asked == .x || asked == .both, asked == .y || asked == .both)
    }
    let course = ["step", "steps", "iteration", "epoch", "tokens", "seconds"]
    let isCurve = course.contains(x.lowercased()) && y.lowercased().contains("loss")
    return (!isCurve, !isCurve)
  }

  /// The name of a file for a column or formula: signs that lead to other folders, or hide the file, become `_`.
  public static func fileName(of text: String) -> String {
    let name = text.trimmed.prefix(80).map { c in
      c.isLetter || c.isNumber || "._- +=,()".contains(c) ? String(c) : "_"
    }.joined()
    return name.first == "." || name.first == "-" ? "_" + name.dropFirst() : name
  }
}
