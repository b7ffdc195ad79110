import Analysis
import ArgumentParser
import Basics
import Commands
import Formulas
import Foundation
import LeastSquares
import ScalingLaws
import Settings

/// The law, its variables and where it starts.
struct FitLawOptions: ParsableArguments {
  @Option(
    help:
      "Columns of the variables, or formulas over columns, in the order of the form: COL[,COL]. Not needed with --formula."
  )
  var x: String?

  @Option(help: "The response: a column, or a formula over columns such as 'seconds/batch'.")
  var y: String?

  @Option(
    help: "A form, or auto to compare the candidates (default: power for one variable).",
    completion: .forms)
  var form: String?

  @Option(help: "A law of your own: 'E + A/N^alpha', or with a left side 'log(y) = a + b*x'.")
  var formula: String?

  @Option(help: "Start values: A=1,B=2. The others, and all without it, come from a grid.")
  var start: String?

  @Option(help: "Bounds: A=0..,alpha=0..2 (ends are moved to by transformation).")
  var bound: String?

  @Option(help: "Parameters to hold: c=0.")
  var fix: String?

  @Option(help: "Width of the multi-start search: how many starting points are followed.")
  var starts = 12

  @Flag(help: "Follow the given start alone.")
  var onlyStart = false

  /// The law that the options name, over the columns of a table.
  func resolve(_ table: FitTable) throws -> FitLaw {
    if let formula {
      guard form == nil else { throw UsageError("--form and --formula: give one of the two") }
      let law = try FormulaForm(formula, columns: table.names, domains: domains())
      for named in try x.map({ try table.quantities($0, option: "--x") }) ?? [] {
        guard named.column.map(law.variables.contains) == true else {
          throw UsageError(
            "--x \(shown(named.label)): the formula does not use it; it uses \(shown(list: law.variables))")
        }
      }
      let variables = law.variables.map { FitTable.Quantity(label: $0, expression: .name($0)) }
      return FitLaw(form: law, variables: variables, response: try response(law.response, table))
    }
    guard let x else { throw UsageError("--x: name the column of the variable, or give --formula") }
    let columns = try table.quantities(x, option: "--x")
    guard form != "auto" else {
      return FitLaw(form: nil, variables: columns, response: try response(nil, table))
    }
    let chosen = try FormCatalog.form(named: form ?? (columns.count == 1 ? "power" : "chinchilla"))
    // Columns that carry the form's own names are taken by name, whatever their order.
    let ordered = chosen.variables.compactMap { name in columns.first { $0.label == name } }
    let isNamed = ordered.count == columns.count && ordered.count == chosen.variables.count
    return FitLaw(
      form: chosen, variables: isNamed ? ordered : columns, response: try response(nil, table))
  }

  private func response(_ left: FormulaExpression?, _ table: FitTable) throws -> FitTable.Quantity {
    switch (left, y) {
    case (let left?, nil):
      if case .name(let name) = left { return FitTable.Quantity(label: name, expression: left) }
      return FitTable.Quantity(label: "response", expression: left)
    case (.some(_), .some(_)): throw UsageError("--y: the formula says already what the response is")
    case (nil, let y?): return try table.quantity(y, option: "--y")
    case (nil, nil): throw UsageError("--y: name the column of the response")
    }
  }

  /// `NAME=VALUE` pairs, with commas between.
  /// - Parameter names: names that may hold blanks, commas and equal signs; others end at the first equal sign. A name in
  ///   braces is taken as it stands.
  static func pairs(_ text: String?, option: String, names: [String] = []) throws -> [String: Double] {
    var values: [String: Double] = [:]
    var rest = (text ?? "")[...]
    while true {
      rest = rest.drop { $0.isWhitespace || $0 == "," }
      guard !rest.isEmpty else { return values }
      let start = rest
      let name = Self.name(&rest, names)
      let end = rest.firstIndex(of: ",") ?? rest.endIndex
      guard let name, !name.isEmpty,
        let value = CoreScalar(rest[..<end].filter { !$0.isWhitespace }).number, value.isFinite
      else {
        let part = start[..<(start.firstIndex(of: ",") ?? start.endIndex)]
        throw UsageError("\(option) \(shown(part)): write NAME=NUMBER, several with commas between")
      }
      guard values[name] == nil else { throw UsageError("\(option): \(shown(name)) is given twice") }
      values[name] = value
      rest = rest[end...]
    }
  }

  /// Takes a name and the equal sign behind it; nil when there is none.
  private static func name(_ rest: inout Substring, _ names: [String]) -> String? {
    func isEqual(_ after: Substring) -> Bool { after.drop(while: \.isWhitespace).first == "=" }
    var name: String
    if let known = names.filter({ rest.hasPrefix($0) && isEqual(rest.dropFirst($0.count)) }).max(by: {
      $0.count < $1.count
    }) {
      name = known
      rest = rest.dropFirst(known.count)
    } else if rest.first == "{", let close = rest.firstIndex(of: "}"), isEqual(rest[close...].dropFirst()) {
      name = String(rest[..<close].dropFirst())
      rest = rest[close...].dropFirst()
    } else {
      guard rest.first != "{", let sign = rest.firstIndex(of: "=") else { return nil }
      name = rest[..<sign].trimmingCharacters(in: .whitespaces)
      rest = rest[sign...]
    }
    rest = rest.drop(while: \.isWhitespace).dropFirst()
    return name
  }

  /// The bounds, by parameter.
  func domains() throws -> [String: Domain] {
    var domains: [String: Domain] = [:]
    for part in (bound ?? "").split(separator: ",") {
      let sides = part.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
      let ends = sides.count == 2 ? sides[1].components(separatedBy: "..") : []
      let low = ends.first.flatMap { CoreScalar($0).number }
      let high = ends.last.flatMap { CoreScalar($0).number }
      let isRead =
        ends.count == 2 && low?.isFinite != false && high?.isFinite != false
        && (low != nil || ends[0].isEmpty) && (high != nil || ends[1].isEmpty)
      guard isRead, domains[sides[0]] == nil else {
        throw UsageError(
          "--bound \(shown(part)): write NAME=LOW..HIGH, with one of the ends left out if open")
      }
      switch (low, high) {
      case (let low?, nil) where low == 0: domains[sides[0]] = .positive
      case (let low?, nil): domains[sides[0]] = .atLeast(low)
      case (nil, let high?): domains[sides[0]] = .atMost(high)
      case (let low?, let high?):
        guard low < high else {
          throw UsageError("--bound \(shown(part)): the low end is not below the high one")
        }
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
  /// What they are of the table, in the order of the form.
  var variables: [FitTable.Quantity]
  /// The response.
  var response: FitTable.Quantity
}

/// Which rows are fitted, and how they belong together.
struct FitRowOptions: ParsableArguments {
  @Option(help: "One fit for each value of this column, or of a formula.")
  var by: String?

  @Option(
    name: .customLong("where"), help: "Rows to keep: 'C<1e21', \"variant == 'full' && {Seq Len} >= 256\".")
  var filter: String?

  @Option(help: "A derived column, NAME=FORMULA (repeatable): 'D={Training FLOP}/(6*N)'.")
  var define: [String] = []

  @Option(
    help:
      "Column or formula of weights of the squared residuals (relative; 1/σ²). A weight of 0 leaves the row out."
  )
  var weights: String?

  @Option(
    help: "Column or formula whose equal values are one run: resampled, and counted as independent, together."
  )
  var cluster: String?
}
