import Figures
import Foundation
import LeastSquares
import ScalingLaws

/// The figure of fits: data, curve, band and residuals; for laws of (N, D) IsoFLOP curves and the efficient frontier.
public struct FitFigure: Sendable {
  private let records: [FitRecord]

  /// At most this many groups are drawn in one figure.
  public static let limit = 12

  /// The figure of some fits, one colour each.
  public init(_ records: [FitRecord]) { self.records = Array(records.prefix(FitFigure.limit)) }

  /// The panels, one below the other.
  public var figure: Figure {
    guard let first = records.first else { return Figure(title: "", panels: []) }
    let title = records.count == 1 ? "\(first.fit.form.name): \(first.fit.form.formula)" : ""
    let panels =
      switch first.fit.data.columns.count {
      case 1: [curves(first.fit), residuals(first.fit)]
      case 2 where records.count == 1 && first.fit.form.variables == ["N", "D"]:
        [isoFLOP(first), frontier(first), residuals(first.fit)]
      default: [observed(first), residuals(first.fit)]
      }
    return Figure(title: title, panels: panels, arrangement: .column)
  }

  /// Logarithmic for positive values that span most of a decade.
  private static func scale(_ values: [Double]) -> Figure.Scale {
    guard let low = values.min(), let high = values.max() else { return .linear }
    return low > 0 && high > 8 * low ? .log : .linear
  }

  /// A column as an axis, with its unit.
  private static func axis(_ name: String, _ values: [Double]) -> Figure.Axis {
    .column(name, isLog: scale(values) == .log)
  }

  private static func steps(_ low: Double, _ high: Double, _ count: Int, _ scale: Figure.Scale) -> [Double] {
    (0...count).map { k in
      let t = Double(k) / Double(count)
      return scale == .log ? low * pow(high / low, t) : low + (high - low) * t
    }
  }

  private static func points(_ x: [Double], _ y: [Double]) -> [Figure.Point] {
    zip(x, y).map { Figure.Point(x: $0, y: $1) }.sorted { $0.x < $1.x }
  }

  private static func percent(_ record: FitRecord) -> String {
    String(format: "%g %%", (record.fit.options.confidence * 1e4).rounded() / 100)
  }

  private func curves(_ fit: Fit) -> Figure.Panel {
    let responses = records.flatMap(\.fit.data.response)
    let across = Self.axis(fit.data.names[0], records.flatMap { $0.fit.data.columns[0] })
    let upwards = Self.axis(records[0].responseName, responses)
    let floor = upwards.scale.isLogarithmic ? (responses.min() ?? 1) / 10 : -Double.infinity
    let drawn = records.enumerated().map { style, record -> Figure.Curve in
      let xs = record.fit.data.columns[0]
      var curve = Figure.Curve(
        label: escaped(record.group ?? "data") + Self.exponent(record.fit),
        points: Self.points(xs, record.fit.data.response), style: style)
      guard let low = xs.min(), let high = xs.max(), high > low else { return curve }
      // A little beyond the data, so that the band's opening shows.
      let (from, to) =
        across.scale.isLogarithmic
        ? (low / 1.3, high * 2) : (low - 0.05 * (high - low), high + 0.2 * (high - low))
      curve.law = Self.steps(from, to, 160, across.scale.isLogarithmic ? .log : .linear).map { x in
        let found = record.selection?.predict(at: [x]) ?? record.fit.predict(at: [x])
        return Figure.Point(x: x, y: found.value, low: found.low.map { max($0, floor) }, high: found.high)
      }
      if records.count == 1 { curve.bandLabel = "\(Self.percent(record)) of new measurements" }
      return curve
    }
    return Figure.Panel(x: across, y: upwards, curves: drawn, height: 1.4)
  }

  /// The exponent of a power law, for the legend.
  private static func exponent(_ fit: Fit) -> String {
    guard fit.form.name.hasPrefix("power"), let b = fit.parameters["b"], let value = b.value,
      let error = b.standardError
    else { return "" }
    return String(format: ", b = %.3f ± %.3f", value, error)
  }

  private func residuals(_ fit: Fit) -> Figure.Panel {
    let label = fit.options.space == .log ? "ln(fit / data)" : "fit − data"
    let drawn = records.enumerated().map { style, record in
      // The curves above, or the first panel of a joint law, have the names.
      Figure.Curve(
        label: "", points: Self.points(record.fit.data.columns[0], record.fit.residuals), style: style)
    }
    var panel = Figure.Panel(
      title: "residuals", x: Self.axis(fit.data.names[0], records.flatMap { $0.fit.data.columns[0] }),
      y: .init(label, .linear), curves: drawn, guide: 0, height: 0.7)
    panel.joinsPoints = false
    return panel
  }

  /// Data over what the law says of them; on the line they agree.
  private func observed(_ first: FitRecord) -> Figure.Panel {
    let scale = Self.scale(records.flatMap(\.fit.data.response))
    var ends: [Double] = []
    var drawn = records.enumerated().map { style, record -> Figure.Curve in
      let fitted = record.fit.data.response.indices.map { i in
        record.fit.value(at: record.fit.data.columns.map { $0[i] })
      }
      ends += [fitted.min(), fitted.max()].compactMap(\.self)
      return Figure.Curve(
        label: escaped(record.group ?? "rows"), points: Self.points(fitted, record.fit.data.response),
        style: style)
    }
    if let low = ends.min(), let high = ends.max(), high > low {
      drawn.append(
        Figure.Curve(
          label: "fit", law: Self.points([low, high], [low, high]), style: Figure.Curve.grey))
    }
    var panel = Figure.Panel(
      x: .init("fitted \(first.responseName)", scale), y: .init(first.responseName, scale), curves: drawn,
      height: 1.2)
    panel.joinsPoints = false
    return panel
  }

  /// Loss over N along lines of equal compute, with the runs of each budget.
  private func isoFLOP(_ record: FitRecord) -> Figure.Panel {
    let k = record.allocation?.flopsPerParameterToken ?? 6
    var drawn: [Figure.Curve] = []
    for (style, curve) in (record.isoFLOP?.curves ?? []).enumerated() {
      let sizes = curve.logParameters.map { exp($0) }
      guard let low = sizes.min(), let high = sizes.max() else { continue }
      let grid = Self.steps(low / 1.2, high * 1.2, 80, .log)
      let law = grid.map { n in
        let found = record.fit.predict(at: [n, curve.budget / k / n])
        return Figure.Point(x: n, y: found.value, low: found.curveLow, high: found.curveHigh)
      }
      var parabola = Figure.Curve(
        label: "", law: grid.map { .init(x: $0, y: curve.value(log($0))) }, style: style)
      parabola.isDashed = true
      drawn += [
        Figure.Curve(
          label: "C = \(Figure.Scale.number(curve.budget))", points: Self.points(sizes, curve.losses),
          law: law,
          style: style), parabola,
      ]
    }
    if drawn.isEmpty {
      drawn = [
        Figure.Curve(
          label: "runs", points: Self.points(record.fit.data.columns[0], record.fit.data.response), style: 0)
      ]
    }
    var panel = Figure.Panel(
      title: record.isoFLOP == nil
        ? "" : "loss along equal compute: runs, parabola (dashed), law with its band",
      x: .init("N (parameters)", .log), y: .init(record.responseName, .linear), curves: drawn, height: 1.3)
    panel.joinsPoints = false
    return panel
  }

  /// The best size over compute, by the law with its band and by IsoFLOP.
  private func frontier(_ record: FitRecord) -> Figure.Panel {
    var panel = Figure.Panel(
      title: "efficient frontier", x: .init("C (FLOP)", .log), y: .init("best N (parameters)", .log))
    panel.joinsPoints = false
    let k = record.allocation?.flopsPerParameterToken ?? 6
    let compute = zip(record.fit.data.columns[0], record.fit.data.columns[1]).map { k * $0 * $1 }
    guard let low = compute.min(), let high = compute.max(), low > 0 else { return panel }
    let end = max(high, record.allocation?.budget ?? high)
    let law = Self.steps(low, end * 2, 40, .log).compactMap { c -> Figure.Point? in
      guard let best = try? record.fit.allocation(budget: c, flopsPerParameterToken: k).parameters else {
        return nil
      }
      return Figure.Point(x: c, y: best.value, low: best.low, high: best.high)
    }
    var curve = Figure.Curve(label: "law", law: law, style: 0)
    curve.bandLabel = "\(Self.percent(record)) of the law"
    panel.curves = [curve]
    if let method = record.isoFLOP {
      let minima = method.curves.map {
        Figure.Point(x: $0.budget, y: $0.optimum.value, low: $0.optimum.low, high: $0.optimum.high)
      }
      var line = Figure.Curve(
        label: "IsoFLOP minima and their law", points: minima,
        law: law.map { .init(x: $0.x, y: method.parametersLaw.value(at: [$0.x])) }, style: 1)
      line.isDashed = true
      panel.curves.append(line)
    }
    if let best = record.allocation {
      panel.curves.append(
        Figure.Curve(
          label: "the budget", points: [.init(x: best.budget, y: best.parameters.value)], style: 3))
    }
    return panel
  }
}
