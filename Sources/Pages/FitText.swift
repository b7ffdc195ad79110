import Analysis
import Basics
import Foundation
import LeastSquares
import ScalingLaws

/// What `attnlab fit` prints for people.
package enum FitText {
  /// Three digits.
  package static func number(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "–" }
    return Quantity.significant(value, 3)
  }

  /// What the user gave, or a place of the data: six digits, as short as they go.
  private static func given(_ value: Double) -> String { String(format: "%.6g", value) }

  private static func interval(_ estimate: Estimate) -> String {
    guard estimate.low != nil || estimate.high != nil else { return "–" }
    return "\(estimate.low.map(estimate.text) ?? "−∞") … \(estimate.high.map(estimate.text) ?? "∞")"
  }

  /// A number with its uncertainty, which says how many digits of them are worth showing.
  private struct Estimate {
    var value: Double?, low: Double?, high: Double?, error: Double?

    /// Half the interval's width, or its nearer end's distance.
    private var spread: Double? {
      if let error, error.isFinite, error > 0 { return error }
      let sides = [low, high].compactMap { end in value.flatMap { v in end.map { abs($0 - v) / 2 } } }
      return sides.filter { $0.isFinite && $0 > 0 }.min()
    }

    /// Two digits of the uncertainty, and as many of the number as stand before them: between two and eight.
    func text(_ number: Double) -> String {
      guard number.isFinite else { return "–" }
      guard let spread, number != 0 else { return Quantity.significant(number, 4) }
      let digits = floor(log10(abs(number))) - floor(log10(spread)) + 2
      return Quantity.significant(number, Int(max(2, min(8, digits))))
    }

    var text: String { value.map(text) ?? "–" }
  }

  private static func estimate(_ p: ParameterEstimate) -> Estimate {
    Estimate(value: p.value, low: p.low, high: p.high, error: p.standardError)
  }

  /// Of a criterion only differences count: a tenth is enough.
  private static func tenths(_ value: Double?) -> String {
    value.map { String(format: "%.1f", $0) } ?? "–"
  }

  /// One fit in full.
  package static func page(_ record: FitRecord) -> String {
    let fit = record.fit
    var lines = [
      (record.group.map { "\(shown($0)): " } ?? "") + "\(fit.form.name)  y = \(visible(fit.form.formula))"
    ]
    lines.append("  " + settings(fit))
    lines.append("")
    var table = TextTable(["parameter", "value", "standard error", "interval", "by"])
    for p in fit.parameters {
      table.add([
        p.name, estimate(p).text, p.standardError.map { Quantity.significant($0, 2) } ?? "–",
        interval(estimate(p)), p.interval,
      ])
    }
    lines.append(table.text)
    lines.append("")
    lines.append(quality(fit))
    lines += correlations(fit)
    lines += slopes(record)
    lines += selection(record)
    lines += predictions(record)
    lines += allocation(record)
    lines += calibration(record)
    return lines.joined(separator: "\n")
  }

  private static func settings(_ fit: Fit) -> String {
    let loss = fit.options.loss.delta.map { "huber, delta \(given($0))" } ?? fit.options.loss.name
    let dropped =
      fit.droppedRows.isEmpty
      ? "" : " (\(fit.data.rowWord) \(fit.droppedRows.map(String.init).joined(separator: ", ")))"
    return
      "\(fit.options.space.rawValue) space, \(loss); \(counted(fit.data.count, "row")) used, \(fit.droppedRows.count) dropped\(dropped)"
  }

  private static func quality(_ fit: Fit) -> String {
    let scatter = (fit.rss / Double(max(fit.degreesOfFreedom, 1))).squareRoot()
    let spread =
      fit.options.space == .log ? String(format: "%.2f %%", 100 * scatter) : number(scatter)
    return """
      objective \(given(fit.objective)), scatter \(spread), AICc \(tenths(fit.aicc)), BIC \(tenths(fit.bic))
      \(fit.converged ? "converged" : "NOT converged"): \(fit.startsAtBest) of \(counted(fit.starts, "start")) at the best minimum, \
      \(fit.distinctMinima) distinct; condition number \(number(fit.conditionNumber))
      """
  }

  private static func correlations(_ fit: Fit) -> [String] {
    guard fit.correlationNames.count > 1 else { return [] }
    var strong: [String] = []
    for (i, a) in fit.correlationNames.enumerated() {
      for (j, b) in fit.correlationNames.enumerated() where j > i && abs(fit.correlation[i][j]) > 0.95 {
        strong.append("\(a)–\(b) " + String(format: "%.3f", fit.correlation[i][j]))
      }
    }
    return strong.isEmpty ? [] : ["correlations beyond 0.95: " + strong.joined(separator: ", ")]
  }

  private static func slopes(_ record: FitRecord) -> [String] {
    let places = record.slopePlaces
    guard !places.isEmpty, record.fit.form.name != "power" else { return [] }
    let name = visible(record.fit.data.names[0])
    // Where the law is not positive it has no logarithm, and so no slope.
    let found = places.map { ($0, record.fit.localSlope(at: $0)) }.filter {
      $1.value.isFinite && $1.low.isFinite && $1.high.isFinite
    }
    guard !found.isEmpty else { return [] }
    return [
      "local slope d ln y/d ln \(name): "
        + found.map { x, s in
          String(format: "%.3f (%.3f … %.3f) at ", s.value, s.low, s.high) + Quantity.significant(x, 4)
        }.joined(separator: ", ")
    ]
  }

  private static func selection(_ record: FitRecord) -> [String] {
    guard let selection = record.selection else { return [] }
    var table = TextTable(["form", "ΔAICc", "ΔBIC", "weight", "leave-one-out", "extrapolation"])
    for c in selection.candidates {
      table.add([
        c.fit.form.name, String(format: "%.1f", c.deltaAICc), String(format: "%.1f", c.deltaBIC),
        String(format: "%.3f", c.weight), number(c.leaveOneOutError), number(c.extrapolationError),
      ])
    }
    let verdict =
      switch selection.verdict {
      case .chosen(let name): "verdict: \(name)"
      case .cannotDistinguish(let names): "verdict: cannot distinguish \(names.joined(separator: ", "))"
      }
    let tests = selection.nestedTests.map {
      "  \($0.smaller) in \($0.larger): F = \(number($0.statistic)), p = \(number($0.probability))"
    }
    let refused = selection.refusals.map { "  not compared: \($0.form) (\($0.reason))" }
    return ["", table.text, verdict] + (tests.isEmpty ? [] : ["nested F-tests:"] + tests) + refused
  }

  private static func predictions(_ record: FitRecord) -> [String] {
    guard !record.predictions.isEmpty else { return [] }
    var table = TextTable(["at", "value", "curve", "a new measurement"])
    for p in record.predictions {
      let place = zip(record.fit.data.names, p.x).map { "\($0) = \(given($1))" }.joined(separator: ", ")
      let curve = Estimate(value: p.value, low: p.curveLow, high: p.curveHigh)
      table.add([
        place, curve.text, interval(curve), interval(Estimate(value: p.value, low: p.low, high: p.high)),
      ])
    }
    return ["", table.text]
  }

  private static func allocation(_ record: FitRecord) -> [String] {
    guard let best = record.allocation else { return [] }
    var table = TextTable(["compute-optimal at \(given(best.budget))", "value", "interval"])
    func add(_ name: String, _ value: Double?, _ low: Double?, _ high: Double?) {
      let estimate = Estimate(value: value, low: low, high: high)
      table.add([name, estimate.text, interval(estimate)])
    }
    func add(_ name: String, _ i: Interval) { add(name, i.value, i.low, i.high) }
    add("N (parameters)", best.parameters)
    add("D (tokens)", best.tokens)
    add("loss", best.loss)
    add("a in N ∝ C^a", best.exponent)
    if let method = record.isoFLOP {
      let n = method.parametersLaw.predict(at: [best.budget])
      add("IsoFLOP: N", n.value, n.curveLow, n.curveHigh)
      if let a = method.parametersLaw.parameters["b"] {
        add("IsoFLOP: a (\(method.curves.count) budgets)", a.value, a.low, a.high)
      }
      if let bias = method.bias {
        table.add(["IsoFLOP: factor in N by its parabolas", number(bias.factor(at: best.budget)), "–"])
      }
    }
    return ["", table.text]
  }

  private static func calibration(_ record: FitRecord) -> [String] {
    guard let found = record.calibration else { return [] }
    let level = String(format: "%.0f %%", 100 * record.fit.options.confidence)
    var table = TextTable(["parameter", "coverage", "truth below", "truth above", "no interval"])
    for p in found.parameters {
      table.add([
        p.name, String(format: "%.1f %%", 100 * p.share), "\(p.above)", "\(p.below)", "\(p.missing)",
      ])
    }
    let head =
      "\(counted(found.replications, "replication")) of this design, intervals of \(level), \(found.failures) failed"
    return ["", head, table.text]
  }

  /// Where the curves of groups meet.
  package static func crossovers(_ found: [FitCrossing]) -> String {
    guard !found.isEmpty else { return "no two curves meet" }
    var table = TextTable(["curves", "meet at", "interval", "lower above", "extrapolation"])
    for c in found {
      table.add([
        "\(shown(c.first)) / \(shown(c.second))", number(c.crossover.x),
        interval(Estimate(value: c.crossover.x, low: c.crossover.low, high: c.crossover.high)),
        c.crossover.firstIsLowerAbove ? c.first : c.second, number(c.crossover.extrapolation),
      ])
    }
    return table.text
  }

  /// More groups than this have their warnings counted instead of told one by one.
  private static let toldOneByOne = 10

  /// The lines for standard error: groups that could not be fitted, and warnings.
  package static func complaints(_ records: [FitRecord], _ failures: [(group: String?, reason: String)])
    -> [String]
  {
    var lines: [String] = []
    let groups = records.count + failures.count
    if failures.count > toldOneByOne {
      lines.append(
        "attnlab fit: \(failures.count) of \(groups) groups could not be fitted, the first: "
          + "\(shown(failures[0].group ?? "")): \(failures[0].reason)")
    } else {
      lines += failures.map { "attnlab fit: \($0.group.map { "group \(shown($0)): " } ?? "")\($0.reason)" }
    }
    guard records.count > toldOneByOne else {
      return lines
        + records.flatMap { record in
          record.warnings.map {
            "warning: \(record.group.map { "\(shown($0)): " } ?? "")\($0.text) [\($0.code)]"
          }
        }
    }
    var holders: [String: [String]] = [:]
    for record in records {
      for code in Set(record.warnings.map(\.code)) { holders[code, default: []].append(record.group ?? "") }
    }
    for (code, names) in holders.sorted(by: { ($1.value.count, $0.key) < ($0.value.count, $1.key) }) {
      let list = names.prefix(3).map { shown($0) }.joined(separator: ", ") + (names.count > 3 ? ", …" : "")
      lines.append("warning: \(names.count) of \(groups) groups: \(list) [\(code)]")
    }
    return lines
  }

  /// Many fits, a row each.
  package static func overview(_ records: [FitRecord]) -> String {
    // Rows of one form share columns; `auto` may have chosen several forms.
    var blocks: [String] = []
    var forms: [String] = []
    for record in records where !forms.contains(record.fit.form.name) { forms.append(record.fit.form.name) }
    for form in forms {
      let own = records.filter { $0.fit.form.name == form }
      guard let first = own.first else { continue }
      let names = first.fit.parameters.map(\.name)
      var table = TextTable(["group", "rows"] + names.flatMap { [$0, "interval"] } + ["warnings"])
      for record in own {
        table.add(
          [shown(record.group ?? ""), "\(record.fit.data.count)"]
            + record.fit.parameters.flatMap { [estimate($0).text, interval(estimate($0))] }
            + [record.warnings.map(\.code).joined(separator: " ")])
      }
      blocks.append(
        "\(form)  y = \(visible(first.fit.form.formula))\n  \(settings(first.fit))\n\n\(table.text)")
      let predicted = own.filter { !$0.predictions.isEmpty }
      if !predicted.isEmpty {
        var table = TextTable(["group", "at", "value", "a new measurement"])
        for record in predicted {
          for p in record.predictions {
            let place = zip(record.fit.data.names, p.x).map { "\($0) = \(given($1))" }
            let estimate = Estimate(value: p.value, low: p.low, high: p.high)
            table.add([
              shown(record.group ?? ""), place.joined(separator: ", "), estimate.text, interval(estimate),
            ])
          }
        }
        blocks.append(table.text)
      }
    }
    return blocks.joined(separator: "\n\n")
  }
}
