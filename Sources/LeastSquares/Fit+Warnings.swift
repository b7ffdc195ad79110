import Basics

extension Fit {
  /// Writes down everything about the search and the data that a reader must know.
  mutating func addWarnings() {
    if !converged {
      warn(
        "not-converged", "the best point is not an optimum to 1e-4 standard errors; the numbers are not final"
      )
    }
    for parameter in parameters where parameter.interval == "at-bound" {
      warn(
        "at-bound",
        "\(parameter.name) ran into the end of its domain and is held there; it has no standard error, and its interval "
          + "and those of predictions are how far from it the data let it be")
    }
    let lost = parameters.filter { $0.interval == "not-identified" }.map(\.name)
    if !lost.isEmpty {
      warn("not-identified", "the data do not determine \(lost.joined(separator: ", "))")
    }
    for (name, column) in zip(data.names, data.columns) where !column.isEmpty && Set(column).count == 1 {
      warn(
        "one-level", "\(shown(name)) has one value only (\(column[0])); what depends on it cannot be known")
    }
    if let floor = form.floor, let value = parameters[floor]?.value, let least = data.response.min(),
      value >= least
    {
      warn(
        "floor-above-data", "\(floor) = \(short(value)) is not below the smallest response, \(short(least))")
    }
    if starts > 1, distinctMinima > 1 {
      warn(
        "starts-disagree",
        "\(startsAtBest) of \(starts) starts reached the best minimum; there are \(distinctMinima) distinct ones"
      )
    }
    if let conditionNumber, conditionNumber > 1e6 {
      warn(
        "ill-conditioned", "the parameters are nearly dependent: condition number \(short(conditionNumber))")
    }
    if let few = influence?.few.first(where: \.isDecisive) {
      let rows = few.rows.map(String.init).joined(separator: ", ")
      let error =
        few.errorRatio.isFinite
        ? "its standard error \((few.errorRatio * 10).rounded() / 10) times as large" : "not determined"
      warn(
        "few-rows-decide",
        "without \(rowWord(few.rows.count)) \(rows), \(few.parameter) is \(short(few.to)) instead of \(short(few.from)), and "
          + error
      )
    }
    if let rows = influence?.outlying, !rows.isEmpty {
      let list = rows.prefix(20).map(String.init).joined(separator: ", ")
      warn(
        "outlying-rows",
        "\(rowWord(rows.count)) \(list): farther from the law than noise explains; kept, huber or absolute weigh them "
          + "less"
      )
    }
    if !droppedRows.isEmpty {
      let list = droppedRows.prefix(20).map(String.init).joined(separator: ", ")
      let text = "\(counted(droppedRows.count, "row")) with the largest response dropped on request"
      warn("rows-dropped", "\(text): \(rowWord(droppedRows.count)) \(list)")
    }
  }

  /// What rows are called in messages: lines of a file, say.
  private func rowWord(_ count: Int) -> String { data.rowWord + (count == 1 ? "" : "s") }

  /// A number in a sentence.
  private func short(_ value: Double) -> String { Quantity.significant(value, 4) }

  mutating func warn(_ code: String, _ text: String) { warnings.append(FitWarning(code: code, text: text)) }
}
