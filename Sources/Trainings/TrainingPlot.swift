import Basics
import Figures
import Foundation
import Presets
import Records
import LeastSquares

/// Figures of trainings: the laws, what evaluations change, and the curves.
public enum TrainingPlot {
  /// The names that figures can have.
  public static let names = ["accuracy", "curves"] + (1...64).map { "law-\($0)" }

  /// The most curves that one picture can hold.
  private static let mostCurves = 12

  /// All figures that the results allow.
  /// - Parameters:
  ///   - comparison: the trainings and their laws.
  ///   - curves: the rows of `curves.csv`, when there is one.
  ///   - steps: the rows of `steps.csv`; drawn where there is one training.
  public static func pictures(
    _ comparison: TrainingComparison, curves: [CurveRow]?, steps: [StepRow] = []
  ) -> [ReportSection.Picture] {
    comparison.laws.enumerated().compactMap { number, law in self.law(law, number, comparison) }
      + [swept(comparison), curves.flatMap { learning(comparison, $0, steps) }].compactMap(\.self)
  }

  /// The points of a law with its curve; of L(N, D) a curve for each budget or number of tokens.
  private static func law(_ law: TrainingLaw, _ number: Int, _ comparison: TrainingComparison)
    -> ReportSection.Picture?
  {
    guard case .success(let fit) = law.fit else { return nil }
    let isJoint = law.kind.isJoint
    let groups = isJoint ? grouped(law.rows) { label($0, law.kind) } : [law.rows]
    let (column, variable) = law.kind.variables[0]
    let held = isJoint ? [] : points(comparison.heldOut.map(\.row), variable)
    let curves = groups.prefix(mostCurves).enumerated().map { style, rows in
      let points = points(rows, variable)
      return Figure.Curve(
        label: isJoint ? label(rows[0], law.kind) : "trainings in the fit", points: points,
        law: isJoint
          ? joint(law, fit, rows, over: points)
          : samples(fit, over: (points + held).sorted { $0.x < $1.x }), style: style)
    }
    let extra = held.isEmpty ? [] : [Figure.Curve(label: "held out", points: held, style: 9)]
    let names = [
      "parameters": "parameters N", "tokens": "training tokens D", "compute_flops": "training operations C",
    ]
    let figure = Figure(
      title: "",
      panels: [
        Figure.Panel(
          title: "\(law.kind.rawValue)  \(law.series)", x: .init(names[column] ?? column, .log),
          y: .init("test loss (\(LossUnit.axis(law.rows)))", .linear), curves: curves + extra,
          guide: law.entropyRate)
      ])
    let dashed = law.entropyRate == nil ? "" : " Dashed: the entropy rate of the source."
    return .init(
      figure,
      caption:
        "\(law.kind.rawValue), \(law.condition). Points: trainings; lines: the fitted law\(isJoint ? "" : " with the 95 % band of the curve").\(dashed)",
      name: "law-\(number + 1)")
  }

  private static func label(_ row: TrainingRow, _ kind: TrainingLaw.Kind) -> String {
    if kind == .context { return "n = \(TrainingLaw.length(of: row) ?? 0)" }
    if let budget = row.computeBudget { return "C = \(Quantity.significant(budget, 3))" }
    return "D = \(Quantity.significant(Double(row.tokens ?? 0), 3))"
  }

  private static func points(
    _ rows: [TrainingRow], _ variable: (TrainingRow) -> Double?
  ) -> [Figure.Point] {
    rows.compactMap { row -> Figure.Point? in
      guard let x = variable(row), let y = TrainingLaw.response(row) else { return nil }
      return Figure.Point(x: x, y: y)
    }.sorted { $0.x < $1.x }
  }

  private static func samples(_ fit: Fit, over points: [Figure.Point]) -> [Figure.Point] {
    grid(points).map { x in
      let at = fit.predict(at: [x])
      return Figure.Point(x: x, y: at.value, low: at.curveLow, high: at.curveHigh)
    }
  }

  /// The joint law along equal compute, or at equal tokens.
  private static func joint(
    _ law: TrainingLaw, _ fit: Fit, _ rows: [TrainingRow], over points: [Figure.Point]
  ) -> [Figure.Point] {
    if law.kind == .context {
      let length = TrainingLaw.length(of: rows[0]).map { Double($0) } ?? .nan
      return grid(points).map { Figure.Point(x: $0, y: fit.value(at: [$0, length]), low: nil, high: nil) }
    }
    guard let k = law.flopsPerParameterToken else { return [] }
    return grid(points).map { n in
      let d = rows[0].computeBudget.map { $0 / k / n } ?? rows[0].tokens.map { Double($0) } ?? .nan
      return Figure.Point(x: n, y: fit.value(at: [n, d]), low: nil, high: nil)
    }
  }

  private static func grid(_ points: [Figure.Point]) -> [Double] {
    guard let low = points.first?.x, let high = points.last?.x, low > 0, high > low else { return [] }
    return (0...60).map { low * pow(high / low, Double($0) / 60) }
  }

  /// Accuracy over the one number in which evaluations, or models, differ: hashes, a window, a length.
  private static func swept(_ comparison: TrainingComparison) -> ReportSection.Picture? {
    let sweep = TrainingSweep(comparison)
    guard let name = sweep.name, !sweep.curves.isEmpty else { return nil }
    let panels = sweep.panels.prefix(mostCurves).map { panel in
      Figure.Panel(
        title: escaped(panel.title), x: .init(name, .length), y: .init("test accuracy", .share),
        curves: panel.curves.prefix(mostCurves).enumerated().map { style, curve in
          Figure.Curve(label: escaped(curve.label), points: curve.points, style: style)
        })
    }
    return .init(
      Figure(title: "", panels: panels),
      caption: "Accuracy on the test split over \(name); bars: 95 % interval, or the range of the seeds.",
      name: "accuracy")
  }

  /// Validation loss over training tokens, the first seed of every model; of one model its training loss, too.
  private static func learning(
    _ comparison: TrainingComparison, _ rows: [CurveRow], _ steps: [StepRow]
  ) -> ReportSection.Picture? {
    var points: [String: [Figure.Point]] = [:]
    var others: [String: [String: [Figure.Point]]] = [:]
    for row in rows {
      guard let x = row.tokens, let y = row.validationLoss, x > 0 else { continue }
      let point = Figure.Point(x: Double(x), y: y)
      if row.isMain {
        points[row.runID, default: []].append(point)
      } else {
        others[row.runID, default: [:]][row.lossTask, default: []].append(point)
      }
    }
    let lines = comparison.lines.filter {
      $0.rows[0].isTraining && (points[$0.rows[0].runID]?.count ?? 0) > 2
    }
    guard !lines.isEmpty else { return nil }
    let unit = LossUnit.axis(lines.prefix(mostCurves).flatMap(\.rows))
    let named = lines.flatMap { line -> [(label: String, points: [Figure.Point])] in
      let id = line.rows[0].runID, own = others[id] ?? [:]
      return [(line.label, points[id] ?? [])]
        + own.sorted { $0.key < $1.key }.map { ("\(line.label), loss of \($0.key)", $0.value) }
    }
    let curves = named.prefix(mostCurves).enumerated().map { style, one in
      Figure.Curve(label: escaped(one.label), points: one.points, style: style)
    }
    if lines.count == 1, others.isEmpty,
      let own = learning(steps.filter { $0.runID == lines[0].rows[0].runID }, curves[0], unit)
    {
      return own
    }
    let rest = named.count > mostCurves ? " (the first \(mostCurves) of \(named.count))" : ""
    return .init(
      Figure(
        title: "",
        panels: [
          Figure.Panel(
            x: .init("training tokens", .linear), y: .init("validation loss (\(unit))", .linear),
            curves: curves)
        ]), caption: "Validation loss over training tokens, the first seed of every model\(rest).",
      name: "curves")
  }

  /// Training and validation loss of one training.
  private static func learning(
    _ steps: [StepRow], _ validation: Figure.Curve, _ unit: String
  ) -> ReportSection.Picture? {
    let (size, points) = binned(steps)
    guard points.count > 2 else { return nil }
    let name = size == 1 ? "training" : "training, mean of \(size) steps"
    let curves = [
      Figure.Curve(label: name, points: points, style: 1),
      Figure.Curve(label: "validation", points: validation.points, style: 0),
    ]
    return .init(
      Figure(
        title: "",
        panels: [
          Figure.Panel(
            x: .init("training tokens", .linear), y: .init("loss (\(unit))", .linear), curves: curves)
        ]),
      caption: "Training and validation loss over training tokens.", name: "curves")
  }

  /// The most points of a curve of steps.
  private static let mostPoints = 80

  /// Losses of steps, as many neighbours as it takes for a curve of so many points in one mean.
  private static func binned(_ steps: [StepRow]) -> (size: Int, points: [Figure.Point]) {
    let size = max(1, (steps.count + mostPoints - 1) / mostPoints)
    let points = stride(from: 0, to: steps.count, by: size).compactMap { first -> Figure.Point? in
      let bin = steps[first..<min(first + size, steps.count)], losses = bin.compactMap(\.loss)
      guard let x = bin.last?.tokens, !losses.isEmpty else { return nil }
      return Figure.Point(x: Double(x), y: losses.reduce(0, +) / Double(losses.count))
    }
    return (size, points)
  }
}
