/// A row of `fits.csv`: one parameter of a fit, with the fit.
public struct FitRow: Record, Hashable {
  /// The column `group`.
  public var group = ""
  /// The column `form`.
  public var form = ""
  /// The column `formula`.
  public var formula = ""
  /// The column `loss`.
  public var loss = ""
  /// The column `delta`.
  public var delta: Double?
  /// The column `space`.
  public var space = ""
  /// The column `rows_used`.
  public var rowsUsed: Int?
  /// The column `rows_dropped`.
  public var rowsDropped: Int?
  /// The column `objective`.
  public var objective: Double?
  /// The column `rss`.
  public var rss: Double?
  /// The column `aicc`.
  public var aicc: Double?
  /// The column `bic`.
  public var bic: Double?
  /// The column `condition_number`.
  public var conditionNumber: Double?
  /// The column `starts`.
  public var starts: Int?
  /// The column `starts_at_best`.
  public var startsAtBest: Int?
  /// The column `distinct_minima`.
  public var distinctMinima: Int?
  /// The column `converged`.
  public var converged: Bool?
  /// The column `parameter`.
  public var parameter = ""
  /// The column `value`.
  public var value: Double?
  /// The column `standard_error`.
  public var standardError: Double?
  /// The column `low`.
  public var low: Double?
  /// The column `high`.
  public var high: Double?
  /// The column `interval`.
  public var interval = ""
  /// The column `warnings`.
  public var warnings = ""

  /// Creates an empty row.
  public init() {}

  /// The columns, in order.
  public static let schema: [Field<FitRow>] = fit + estimate

  private static let fit: [Field<FitRow>] = [
    .field("group", \.group, .text, .contender, "the value of the column that splits the rows"),
    .field("form", \.form, .text, .contender, "the form; see attnlab list").required,
    .field("formula", \.formula, .text, .contender, "the formula").required,
    .field("loss", \.loss, .text, .contender, "squares, huber or absolute").required,
    .optional("delta", \.delta, .finite, .contender, "where Huber's loss turns linear"),
    .field("space", \.space, .text, .contender, "log: relative errors; raw: absolute ones").required,
    .optional("rows_used", \.rowsUsed, .count(from: 1), .record, unit: "rows", "rows in the fit").required,
    .optional("rows_dropped", \.rowsDropped, .count(), .record, unit: "rows", "rows left out on request")
      .required,
    .optional("objective", \.objective, .finite, .quantity, "the summed loss in the chosen space"),
    .optional("rss", \.rss, .finite, .quantity, "the sum of squared residuals"),
    .optional("aicc", \.aicc, .finite, .quantity, "Akaike's criterion for small samples"),
    .optional("bic", \.bic, .finite, .quantity, "Bayes' criterion"),
    .optional("condition_number", \.conditionNumber, .finite, .quantity, "of the scaled Jacobian"),
    .optional("starts", \.starts, .count(from: 1), .record, "starting points").required,
    .optional("starts_at_best", \.startsAtBest, .count(), .record, "those that ended at the best minimum")
      .required,
    .optional("distinct_minima", \.distinctMinima, .count(), .record, "minima found").required,
    .optional("converged", \.converged, .flag, .record, "whether the best start converged").required,
  ]

  private static let estimate: [Field<FitRow>] = [
    .field("parameter", \.parameter, .text, .contender, "the parameter").required,
    .optional("value", \.value, .finite, .quantity, "its estimate; empty when it is not identified"),
    .optional("standard_error", \.standardError, .finite, .quantity, "of the estimate"),
    .optional("low", \.low, .finite, .quantity, "lower end of its 95 % interval"),
    .optional("high", \.high, .finite, .quantity, "upper end"),
    .field("interval", \.interval, .text, .record, "how the interval was made"),
    .field("warnings", \.warnings, .text, .record, "codes of the warnings, separated by blanks"),
  ]
}
