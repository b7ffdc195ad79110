import Foundation
import ScalingLaws

/// The figure of fits: data, curve, band and residuals; for laws of (N, D) IsoFLOP curves and the efficient frontier.
public struct FitFigure: Sendable {
  private let records: [FitRecord]

  /// At most this many groups are drawn in one figure.
  public static let limit = 12

  /// The figure of some fits, one colour each.
  public init(_ records: [FitRecord]) { self.records = Array(records.prefix(FitFigure.limit)) }

  /// The chart.
  public var chart: FitChart {
    guard let first = records.first else { return FitChart(title: "", panels: []) }
    let title = records.count == 1 ? "\(first.fit.form.name): \(first.fit.form.formula)" : ""
    switch first.fit.data.columns.count {
    case 1: return FitChart(title: title, panels: [curves(first.fit), residuals(first.fit)])
    case 2 where records.count == 1 && first.fit.form.variables == ["N", "D"]:
      return FitChart(title: title, panels: [isoFLOP(first), frontier(first), residuals(first.fit)])
    default: return FitChart(title: title, panels: [observed(first.fit), residuals(first.fit)])
    }
  }

  private func isLog(_ values: [Double]) -> Bool {
    guard let low = values.min(), let high = values.max() else { return false }
    return low > 0 && high > 8 * low
  }

  private static func steps(_ low: Double, _ high: Double, _ count: Int, log isLog: Bool) -> [Double] {
    (0...count).map { k in
      let t = Double(k) / Double(count)
      return isLog ? low * pow(high / low, t) : low + (high - low) * t
    }
  }

  private func curves(_ fit: Fit) -> FitChart.Panel {
    let name = fit.data.names[0]
    let all = records.flatMap { $0.fit.data.columns[0] }
    let responses = records.flatMap { $0.fit.data.response }
    var panel = FitChart.Panel(
      xLabel: name, yLabel: records[0].responseName, xLog: isLog(all), yLog: isLog(responses), height: 1.4)
    for (k, record) in records.enumerated() {
      let xs = record.fit.data.columns[0]
      guard let low = xs.min(), let high = xs.max(), high > low else { continue }
      // A little beyond the data, so that the band's opening shows.
      let (from, to) =
        panel.xLog ? (low / 1.3, high * 2) : (low - 0.05 * (high - low), high + 0.2 * (high - low))
      let grid = Self.steps(from, to, 160, log: panel.xLog)
      let band = grid.map { record.selection?.predict(at: [$0]) ?? record.fit.predict(at: [$0]) }
      let label = (record.group ?? "data") + Self.exponent(record.fit)
      let floor = panel.yLog ? (responses.min() ?? 1) / 10 : -Double.infinity
      panel.series.append(
        .band(
          records.count == 1
            ? "\(Int((record.fit.options.confidence * 100).rounded())) % of new measurements" : "",
          x: grid, low: band.map { max($0.low ?? .nan, floor) }, high: band.map { $0.high ?? .nan }, colour: k
        ))
      panel.series.append(.line(records.count == 1 ? "fit" : "", x: grid, y: band.map(\.value), colour: k))
      panel.series.append(.points(label, x: xs, y: record.fit.data.response, colour: k))
    }
    return panel
  }

  /// The exponent of a power law, for the legend.
  private static func exponent(_ fit: Fit) -> String {
    guard fit.form.name.hasPrefix("power"), let b = fit.parameters["b"], let value = b.value,
      let error = b.standardError
    else { return "" }
    return String(format: ", b = %.3f ± %.3f", value, error)
  }

  private func residuals(_ fit: Fit) -> FitChart.Panel {
    let isLogSpace = fit.options.space == .log
    let values = records.flatMap { $0.fit.data.columns[0] }
    var panel = FitChart.Panel(
      xLabel: fit.data.names[0], yLabel: isLogSpace ? "ln(fit / data)" : "fit − data", xLog: isLog(values),
      height: 0.7)
    guard let low = values.min(), let high = values.max() else { return panel }
    panel.series.append(.line("", x: [low, high], y: [0, 0], colour: 6))
    for (k, record) in records.enumerated() {
      panel.series.append(
        .points(
          "", x: record.fit.data.columns[0], y: record.fit.residuals, colour: k))
    }
    return panel
  }

  private func observed(_ fit: Fit) -> FitChart.Panel {
    let log = isLog(records.flatMap { $0.fit.data.response })
    var panel = FitChart.Panel(
      xLabel: "fitted \(records[0].responseName)", yLabel: records[0].responseName, xLog: log, yLog: log,
      height: 1.2)
    for (k, record) in records.enumerated() {
      let fitted = record.fit.data.response.indices.map { i in
        record.fit.value(at: record.fit.data.columns.map { $0[i] })
      }
      panel.series.append(.points(record.group ?? "rows", x: fitted, y: record.fit.data.response, colour: k))
      if let low = fitted.min(), let high = fitted.max() {
        panel.series.append(.line("", x: [low, high], y: [low, high], colour: 6))
      }
    }
    return panel
  }

  /// Loss over N along lines of equal compute, with the runs of each budget.
  private func isoFLOP(_ record: FitRecord) -> FitChart.Panel {
    var panel = FitChart.Panel(
      title: "loss along equal compute: runs, parabola (dashed), law with its band", xLabel: "N / parameters",
      yLabel: record.responseName,
      xLog: true, height: 1.3)
    let k = record.allocation?.flopsPerParameterToken ?? 6
    let curves = record.isoFLOP?.curves ?? []
    for (number, curve) in curves.enumerated() {
      let sizes = curve.logParameters.map { exp($0) }
      guard let low = sizes.min(), let high = sizes.max() else { continue }
      let grid = Self.steps(low / 1.2, high * 1.2, 80, log: true)
      panel.series.append(
        .points(String(format: "C = %.2g", curve.budget), x: sizes, y: curve.losses, colour: number))
      panel.series.append(
        .line("", x: grid, y: grid.map { curve.value(log($0)) }, colour: number, dashed: true))
      let law = grid.map { record.fit.predict(at: [$0, curve.budget / k / $0]) }
      panel.series.append(
        .band(
          "", x: grid, low: law.map { $0.curveLow ?? .nan }, high: law.map { $0.curveHigh ?? .nan },
          colour: number))
      panel.series.append(.line("", x: grid, y: law.map(\.value), colour: number))
    }
    if curves.isEmpty {
      panel.series.append(
        .points("runs", x: record.fit.data.columns[0], y: record.fit.data.response, colour: 0))
    }
    return panel
  }

  /// The best size over compute, by the law with its band and by IsoFLOP.
  private func frontier(_ record: FitRecord) -> FitChart.Panel {
    var panel = FitChart.Panel(
      title: "efficient frontier", xLabel: "C / FLOP", yLabel: "best N / parameters", xLog: true, yLog: true)
    let k = record.allocation?.flopsPerParameterToken ?? 6
    let compute = zip(record.fit.data.columns[0], record.fit.data.columns[1]).map { k * $0 * $1 }
    guard let low = compute.min(), let high = compute.max() else { return panel }
    let end = max(high, record.allocation?.budget ?? high)
    var (xs, ys, lows, highs) = ([Double](), [Double](), [Double](), [Double]())
    for c in Self.steps(low, end * 2, 40, log: true) {
      guard let best = try? record.fit.allocation(budget: c, flopsPerParameterToken: k),
        let from = best.parameters.low, let to = best.parameters.high
      else { continue }
      xs.append(c)
      ys.append(best.parameters.value)
      lows.append(from)
      highs.append(to)
    }
    panel.series.append(.band("95 % of the law", x: xs, low: lows, high: highs, colour: 0))
    panel.series.append(.line("law", x: xs, y: ys, colour: 0))
    if let method = record.isoFLOP {
      panel.series.append(
        .bars(
          "IsoFLOP minima", x: method.curves.map(\.budget), y: method.curves.map(\.optimum.value),
          low: method.curves.map { $0.optimum.low ?? $0.optimum.value },
          high: method.curves.map { $0.optimum.high ?? $0.optimum.value }, colour: 1))
      panel.series.append(
        .line(
          "IsoFLOP law", x: xs, y: xs.map { method.parametersLaw.value(at: [$0]) }, colour: 1, dashed: true))
    }
    if let best = record.allocation {
      panel.series.append(
        .points("the budget", x: [best.budget], y: [best.parameters.value], colour: 3))
    }
    return panel
  }
}
