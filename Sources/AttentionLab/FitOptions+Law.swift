import ArgumentParser
import Basics
import Foundation
import Laboratory
import ScalingLaws

/// The law, its variables and where it starts.
struct FitLawOptions: ParsableArguments {
  @Option(help: "Columns of the variables, in the order of the form: COL[,COL]. Not needed with --formula.")
  var x: String?

  @Option(help: "The response: a column, or a formula over columns such as 'seconds/batch'.")
  var y: String?

  @Option(help: "A form, or auto to compare the candidates (default: power for one variable).")
  var form: String?

  @Option(help: "A law of your own: 'E + A/N^alpha', or with a left side 'log(y) = a + b*x'.")
  var formula: String?

  @Option(help: "Start values: A=1,B=2. The others, and all without it, come from a grid.")
  var start: String?

  @Option(help: "Bounds: A=0..,alpha=0..2 (ends are moved to by transformation).")
  var bound: String?

  @Option(help: "Parameters to hold: c=0.")
  var fix: String?

  @Option(help: "How many starts are followed.")
  var starts = 12

  @Flag(help: "Follow the given start alone.")
  var onlyStart = false

  /// The law that the options name, over the columns of a table.
  func resolve(_ table: FitTable) throws -> FitLaw {
    if let formula {
      guard form == nil else { throw UsageError("--form and --formula: give one of the two") }
      let law = try FormulaForm(formula, columns: table.names, domains: domains())
      if let named = x.map(FitLaw.names), let missing = named.first(where: { !law.variables.contains($0) }) {
        throw UsageError(
          "--x \(missing): the formula does not use it; it uses \(law.variables.joined(separator: ", "))")
      }
      return FitLaw(form: law, variables: law.variables, response: try response(law.response))
    }
    guard let x else { throw UsageError("--x: name the column of the variable, or give --formula") }
    let columns = FitLaw.names(x)
    guard form != "auto" else { return FitLaw(form: nil, variables: columns, response: try response(nil)) }
    let chosen = try FormCatalog.form(named: form ?? (columns.count == 1 ? "power" : "chinchilla"))
    // Columns that carry the form's own names are taken by name, whatever their order.
    let ordered = Set(columns) == Set(chosen.variables) ? chosen.variables : columns
    return FitLaw(form: chosen, variables: ordered, response: try response(nil))
  }

  private func response(_ left: FormulaExpression?) throws -> FormulaExpression {
    switch (left, y) {
    case (let left?, nil): return left
    case (.some(_), .some(_)): throw UsageError("--y: the formula says already what the response is")
    case (nil, let y?):
      // A column's name as it stands, spaces and all, before a formula.
      return y.contains(where: { "()*/+^{".contains($0) }) ? try FormulaExpression(parsing: y) : .name(y)
    case (nil, nil): throw UsageError("--y: name the column of the response")
    }
  }

  /// `NAME=VALUE` pairs.
  static func pairs(_ text: String?, option: String) throws -> [String: Double] {
    var values: [String: Double] = [:]
    for part in (text ?? "").split(separator: ",") {
      let sides = part.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
      guard sides.count == 2, let value = Double(sides[1]), value.isFinite else {
        throw UsageError("\(option) \(part): write NAME=NUMBER, several with commas between")
      }
      guard values[sides[0]] == nil else { throw UsageError("\(option): \(sides[0]) is given twice") }
      values[sides[0]] = value
    }
    return values
  }

  /// The bounds, by parameter.
  func domains() throws -> [String: Domain] {
    var domains: [String: Domain] = [:]
    for part in (bound ?? "").split(separator: ",") {
      let sides = part.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
      let ends = sides.count == 2 ? sides[1].components(separatedBy: "..") : []
      let low = ends.first.flatMap { Double($0) }
      let high = ends.last.flatMap { Double($0) }
      let isRead =
        ends.count == 2 && (low != nil || ends[0].isEmpty) && (high != nil || ends[1].isEmpty)
      guard isRead, domains[sides[0]] == nil else {
        throw UsageError("--bound \(part): write NAME=LOW..HIGH, with one of the ends left out if open")
      }
      switch (low, high) {
      case (let low?, nil) where low == 0: domains[sides[0]] = .positive
      case (let low?, nil): domains[sides[0]] = .atLeast(low)
      case (nil, let high?): domains[sides[0]] = .atMost(high)
      case (let low?, let high?):
        guard low < high else { throw UsageError("--bound \(part): the low end is not below the high one") }
        domains[sides[0]] = .within(low, high)
      case (nil, nil): domains[sides[0]] = .real
      }
    }
    return domains
  }
}

/// A law over columns: what the options come to.
struct FitLaw {
  /// The law; nil for `auto`.
  var form: (any ScalingForm)?
  /// Its columns, in the order of the form.
  var variables: [String]
  /// The response.
  var response: FormulaExpression
  /// The rows to keep.
  var filter: FormulaExpression?
  /// What the response is called in plots.
  var responseName: String {
    if case .name(let name) = response { return name }
    return "response"
  }

  /// Column names between commas.
  static func names(_ text: String) -> [String] {
    text.split(separator: ",").map { $0.trimmed }.filter { !$0.isEmpty }
  }
}

/// Which rows are fitted, and how they belong together.
struct FitRowOptions: ParsableArguments {
  @Option(help: "One fit for each value of this column.")
  var by: String?

  @Option(name: .customLong("where"), help: "Rows to keep: 'C<1e21', \"variant == 'full' && n >= 256\".")
  var filter: String?

  @Option(help: "A derived column, NAME=FORMULA (repeatable): 'D={Training FLOP}/(6*N)'.")
  var define: [String] = []

  @Option(help: "Column of weights of the squared residuals (relative; 1/σ²).")
  var weights: String?

  @Option(help: "Column whose equal values are one run: resampled, and counted as independent, together.")
  var cluster: String?
}
