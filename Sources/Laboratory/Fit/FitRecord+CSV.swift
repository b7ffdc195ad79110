import Foundation
import ScalingLaws

extension FitRecord {
  /// The columns of `fits.csv`: one row per parameter of each fit.
  public static let csvHeader = [
    "group", "form", "formula", "loss", "delta", "space", "rows_used", "rows_dropped", "objective", "rss",
    "aicc",
    "bic", "condition_number", "starts", "starts_at_best", "distinct_minima", "converged", "parameter",
    "value",
    "standard_error", "low", "high", "interval", "warnings",
  ]

  /// The rows of this fit; what is not known is an empty cell.
  public var csvRows: [[String]] {
    func cell(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
    let head: [String] = [
      group ?? "", fit.form.name, fit.form.formula, fit.options.loss.name, cell(fit.options.loss.delta),
      fit.options.space.rawValue, "\(fit.data.count)", "\(fit.droppedRows.count)", cell(fit.objective),
      cell(fit.rss), cell(fit.aicc), cell(fit.bic), cell(fit.conditionNumber), "\(fit.starts)",
      "\(fit.startsAtBest)", "\(fit.distinctMinima)", "\(fit.converged)",
    ]
    let codes = warnings.map(\.code).joined(separator: " ")
    return fit.parameters.map { parameter in
      head + [
        parameter.name, cell(parameter.value), cell(parameter.standardError), cell(parameter.low),
        cell(parameter.high), parameter.interval, codes,
      ]
    }
  }

  /// Writes `fits.csv` at once: a reader never sees half a file.
  /// - Throws: `UsageError` when it cannot be written.
  public static func write(_ records: [FitRecord], to path: String) throws(UsageError) {
    let text = ([csvHeader] + records.flatMap(\.csvRows)).map(CSVTable.line).joined()
    do {
      try FileManager.default.createDirectory(
        at: URL(fileURLWithPath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
    } catch {
      throw UsageError("\(path): cannot be written: \(error.localizedDescription)")
    }
    try RunFolder.replace(path, with: text)
  }
}
