import Records
import LeastSquares

extension FitRecord {
  /// The rows of this fit in `fits.csv`; what is not known is an empty field.
  public var rows: [FitRow] {
    var row = FitRow()
    (row.group, row.form, row.formula) = (group ?? "", fit.form.name, fit.form.formula)
    (row.loss, row.delta) = (fit.options.loss.name, fit.options.loss.delta)
    row.space = fit.options.space.rawValue
    (row.rowsUsed, row.rowsDropped) = (fit.data.count, fit.droppedRows.count)
    (row.objective, row.rss, row.aicc, row.bic) = (fit.objective, fit.rss, fit.aicc, fit.bic)
    (row.conditionNumber, row.starts) = (fit.conditionNumber, fit.starts)
    (row.startsAtBest, row.distinctMinima) = (fit.startsAtBest, fit.distinctMinima)
    row.converged = fit.converged
    row.warnings = warnings.map(\.code).joined(separator: " ")
    return fit.parameters.map { parameter in
      (row.parameter, row.value) = (parameter.name, parameter.value)
      (row.standardError, row.low, row.high) = (parameter.standardError, parameter.low, parameter.high)
      row.interval = parameter.interval
      return row
    }
  }
}
