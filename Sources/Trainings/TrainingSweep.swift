import Basics
import Figures
import Models
import Records
import Settings

/// The one number in which lines of a comparison differ, with accuracy over it: hashes, a window, a length; whole numbers, which have an axis.
struct TrainingSweep {
  /// The number's name; `nil` when there is none, or more than one.
  let name: String?
  /// A curve for each combination of everything else.
  let curves: [(label: String, points: [Figure.Point])]

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
      (self.name, curves) = (nil, [])
      return
    }
    let found = zip(lines, settings).compactMap { line, own -> (label: String, point: Figure.Point)? in
      guard let x = own[name], x > 0, let point = Self.point(line, x) else { return nil }
      return (Self.label(line, without: name), point)
    }
    self.name = name
    curves = found.grouped(by: \.label).filter { $0.elements.count >= 3 }.map { label, points in
      (label, points.map(\.point).sorted { $0.x < $1.x })
    }
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
  private static func label(_ line: TrainingComparison.Line, without name: String) -> String {
    let words = "\(line.label), \(line.evaluation)"
      .replacing(" \(name) ", with: " \(name)=").replacing("(\(name)=", with: "( \(name)=")
    let parts = words.split(whereSeparator: { ", ()".contains($0) }).filter { !$0.hasPrefix("\(name)=") }
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
