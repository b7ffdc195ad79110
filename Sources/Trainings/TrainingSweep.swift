import Basics
import Figures
import Models
import Records
import Settings

/// The one number in which lines of a comparison differ, with accuracy over it: hashes, a window, a length; whole numbers, which have an axis.
/// Where a second number varies under every model, such as the depth of a needle, every model has a panel of its own.
struct TrainingSweep {
  /// A point of a line: where it stands, and on which curve of which panel.
  private typealias Place = (panel: String, curve: String, point: Figure.Point)

  /// The number's name; `nil` when there is none, or more than one.
  let name: String?
  /// The panels, of which one without a title has a curve for each combination of everything else.
  let panels: [(title: String, curves: [(label: String, points: [Figure.Point])])]
  /// All curves.
  var curves: [(label: String, points: [Figure.Point])] { panels.flatMap(\.curves) }

  init(_ comparison: TrainingComparison) {
    // Losses of auxiliary tasks are of other tasks, and on no curve of the main one.
    let changed = comparison.lines.filter { $0.rows[0].evaluation == .changed }
    let lines = changed.isEmpty ? comparison.lines.filter { $0.rows[0].isTraining } : changed
    let settings = lines.map(Self.numbers)
    let keys = Set(settings.flatMap(\.keys)).filter { key in
      let found = Set(settings.compactMap { $0[key] })
      return found.count >= 3 && found.allSatisfy { $0 >= 1 }
    }
    // Where several numbers vary, the one with the most values is drawn over.
    let values = { (key: String) in Set(settings.compactMap { $0[key] }).count }
    guard let name = keys.sorted().max(by: { values($0) < values($1) }) else {
      (self.name, panels) = (nil, [])
      return
    }
    func places(besides second: String?) -> [Place] {
      zip(lines, settings).compactMap { line, own in
        guard let x = own[name], x > 0, let point = Self.point(line, x) else { return nil }
        guard let second else { return ("", Self.label(line, without: [name]), point) }
        let value =
          own[second].map { "\(second) " + ($0 == $0.rounded() ? Quantity.whole($0) : "\($0)") }
          ?? "as trained"
        return (Self.label(line, without: [name, second]), value, point)
      }
    }
    func grouped(_ places: [Place]) -> [(title: String, curves: [(label: String, points: [Figure.Point])])] {
      places.grouped(by: \.panel).map { title, own in
        let curves = own.grouped(by: \.curve).filter { $0.elements.count >= 3 }
        return (title, curves.map { ($0.key, $0.elements.map(\.point).sorted { $0.x < $1.x }) })
      }.filter { !$0.curves.isEmpty }
    }
    self.name = name
    let others = Set(settings.flatMap(\.keys)).subtracting([name]).filter { values($0) >= 2 }
    let split = others.sorted().max { values($0) < values($1) }.map { grouped(places(besides: $0)) } ?? []
    let whole = grouped(places(besides: nil))
    // Panels must tell every curve apart, and be fewer than what they hold.
    let isSplit =
      split.count > 1 && split.allSatisfy { $0.curves.count > 1 }
      && split.reduce(0) { $0 + $1.curves.count } == whole.reduce(0) { $0 + $1.curves.count }
    self.panels = isSplit ? split : whole
  }

  /// Numeric settings of the task and of the only kind of attention in the layers.
  private static func numbers(_ line: TrainingComparison.Line) -> [String: Double] {
    let row = line.rows[0]
    let task = TrainingRow.settings(row.isTraining ? row.taskConfiguration : row.evaluationTask)
    var numbers = task.compactMapValues { CoreScalar($0).number }
    let attention = row.isTraining ? row.attention : row.evaluationAttention
    if let layers = try? LayerAttention.parse(attention), layers.count == 1 {
      for (key, value) in layers[0].settings { numbers[key] = Double("\(value)") }
    }
    if let memory = row.evaluationMemory { numbers["memory"] = Double(memory) }
    return numbers
  }

  /// What tells a curve apart: all words of a line's name but those about the number.
  private static func label(_ line: TrainingComparison.Line, without names: [String]) -> String {
    let words = names.reduce("\(line.label), \(line.evaluation)") {
      $0.replacing(" \($1) ", with: " \($1)=").replacing("(\($1)=", with: "( \($1)=")
    }
    let parts = words.split(whereSeparator: { ", ()".contains($0) }).filter { part in
      !names.contains { part.hasPrefix("\($0)=") }
    }
    return parts.joined(separator: " ")
  }

  private static func point(_ line: TrainingComparison.Line, _ x: Double) -> Figure.Point? {
    let all = line.rows.compactMap(\.testAccuracy)
    guard let low = all.min(), let high = all.max() else { return nil }
    let mean = all.reduce(0, +) / Double(all.count)
    guard all.count == 1, let count = line.rows[0].testCount, count > 0 else {
      return Figure.Point(x: x, y: mean, low: low, high: high)
    }
    let interval = Wilson.interval(share: mean, count: Double(count))
    return Figure.Point(x: x, y: mean, low: interval.low, high: interval.high)
  }
}
