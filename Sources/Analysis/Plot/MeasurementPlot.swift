import Basics
import Figures
import Foundation
import Records

/// Figures of measurements.
public enum MeasurementPlot {
  /// The figure of a metric over the length, a panel a pass and shape.
  package static func figure(_ comparison: Comparison, _ metric: Metric) -> Figure {
    let labels = comparison.parts.flatMap { $0.panel.series.map(\.label) }
    var styles: [String: Int] = [:]
    for label in labels where styles[label] == nil { styles[label] = styles.count }
    let axes = Set(comparison.parts.map(\.panel.axis.axis))
    let across = Figure.Axis(axes.count == 1 ? axes.first ?? "" : "length n (tokens)", .length)
    let upwards = Figure.Axis(metric.quantity, metric.scale)
    let panels = comparison.parts.map { part in
      Figure.Panel(
        title: part.panel.title, x: across, y: upwards,
        curves: part.lines.compactMap { curve($0, part, metric, style: styles[$0.series.label] ?? 0) },
        guide: metric == .speedup ? 1 : nil)
    }
    return Figure(title: "", panels: panels)
  }

  private static func curve(
    _ line: Comparison.Line, _ part: Comparison.Part, _ metric: Metric, style: Int
  ) -> Figure.Curve? {
    let series = line.series
    let points = series.rows.compactMap { row -> Figure.Point? in
      guard let length = series.axis.length(of: row), length > 0 else { return nil }
      let base = line.baselineSeconds(at: length)
      guard let y = metric.value(row, baselineSeconds: base), y > 0, y.isFinite else { return nil }
      let hasSpread = metric == .time
      return Figure.Point(
        x: Double(length), y: y, low: hasSpread ? row.secondsP20 : nil, high: hasSpread ? row.secondsP80 : nil
      )
    }
    guard !points.isEmpty else { return nil }
    var curve = Figure.Curve(label: escaped(series.label), points: points, style: style)
    curve.name = series.label
    guard metric.isScaling else { return curve }
    let growth = metric == .time ? line.time : series.growth(metric)
    let shown = metric == .memory ? line.memory : growth
    (curve.label, curve.law) = (legend(series.label, shown), law(growth, over: points))
    return curve
  }

  /// `full  ∝ n^{1.98 ± 0.03}`.
  static func legend(_ label: String, _ growth: Growth, variable: String = "n") -> String {
    guard let exponent = growth.exponent else { return escaped(label) }
    var spread = ""
    if let low = exponent.low, let high = exponent.high, high > low {
      spread = " ± \(Growth.decimals(max(high - exponent.value, exponent.value - low)))"
    }
    return "\(escaped(label)):  \(escaped(variable))^{\(Growth.decimals(exponent.value))\(spread)}"
  }

  /// The law sampled evenly in the logarithm, with the band of the curve.
  static func law(_ growth: Growth, over points: [Figure.Point]) -> [Figure.Point] {
    guard let low = points.map(\.x).min(), let high = points.map(\.x).max(), low > 0 else { return [] }
    guard let fit = growth.fit else {
      guard growth.exponent != nil, let y = points.first?.y else { return [] }
      return [
        Figure.Point(x: low, y: y, low: nil, high: nil), Figure.Point(x: high, y: y, low: nil, high: nil),
      ]
    }
    let steps = 60
    return (0...steps).map { step in
      let x = low * pow(high / low, Double(step) / Double(steps))
      let prediction = fit.predict(at: [x])
      return Figure.Point(
        x: x, y: prediction.value, low: prediction.curveLow.flatMap { $0 > 0 ? $0 : nil },
        high: prediction.curveHigh)
    }
  }
}

extension Metric {
  /// How an axis of it is divided.
  var scale: Figure.Scale {
    switch self {
    case .time, .plan: .seconds
    case .memory, .workspace, .process, .predicted: .bytes
    case .peak, .spread, .kept: .share
    case .speed, .error, .speedup: .log
    }
  }
}
