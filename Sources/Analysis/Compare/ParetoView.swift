import Basics
import Figures
import Records

/// Two quantities of contenders against each other, and the frontier: those that no other one beats in one quantity
/// without losing in the other.
///
/// Runs that differ in their seed alone are one point at their means, with bars from the least to the greatest.
/// - Complexity: O(n²) in the contenders of a part.
public struct ParetoView: Sendable {
  /// A quantity.
  public struct Axis: Hashable, Sendable {
    /// The column of the results.
    public let column: String
    /// Its unit; empty for none.
    public let unit: String
    /// Whether less of it is better.
    public let isLowerBetter: Bool
  }

  /// A quantity over seeds.
  public struct Value: Sendable {
    /// The mean.
    public let mean: Double
    /// The least.
    public let low: Double
    /// The greatest.
    public let high: Double
    /// How many seeds.
    public let count: Int
  }

  /// A contender.
  public struct Entry: Sendable {
    /// What it is called.
    public let label: String
    /// The quantity across.
    public let x: Value
    /// The quantity upwards.
    public let y: Value
    /// One that is at least as good in both quantities and better in one; `nil`: it is on the frontier.
    public fileprivate(set) var beatenBy: String?
  }

  /// The quantity across.
  public let x: Axis
  /// The quantity upwards.
  public let y: Axis
  /// Contenders that may be compared, from the best in x.
  public private(set) var parts: [(title: String, entries: [Entry])]
  private let lossUnit: String?

  /// Reads two columns of rows.
  /// - Parameters:
  ///   - parts: what may be compared; a series holds the rows that differ in their seed alone.
  ///   - names: two columns or words for them, the first upwards, the second across.
  /// - Throws: `UsageError` for a name that there is not, or where no row has both.
  public init<Row: Record>(
    _ parts: [(title: String, series: [(label: String, rows: [Row])])], _ names: [String]
  ) throws(UsageError) {
    guard names.count == 2, names[0] != names[1] else {
      throw UsageError(
        "--pareto \(shown(names.joined(separator: ","))): it takes two quantities, such as error,seconds")
    }
    let (y, x) = (try Self.axis(names[0], of: Row.self), try Self.axis(names[1], of: Row.self))
    (self.x, self.y) = (x, y)
    let trainings = parts.flatMap { $0.series.flatMap { $0.rows.compactMap { $0 as? TrainingRow } } }
    lossUnit = trainings.isEmpty ? nil : LossUnit.axis(trainings)
    self.parts = parts.compactMap { title, series in
      let entries = series.compactMap { label, rows -> Entry? in
        let pairs = rows.compactMap { row -> (x: Double, y: Double)? in
          guard let across = row.value(x.column).numberValue, let up = row.value(y.column).numberValue,
            across.isFinite,
            up.isFinite
          else { return nil }
          return (across, up)
        }
        guard let across = Value(pairs.map(\.x)), let up = Value(pairs.map(\.y)) else { return nil }
        return Entry(label: label, x: across, y: up)
      }
      let sorted = entries.stablySorted { x.isLowerBetter ? $0.x.mean : -$0.x.mean }
      let judged = sorted.map { entry in
        var entry = entry
        entry.beatenBy = sorted.first { Self.beats($0, entry, x, y) }?.label
        return entry
      }
      return judged.isEmpty ? nil : (title, judged)
    }
    guard !self.parts.isEmpty else {
      throw UsageError("--pareto: no row has both \(x.column) and \(y.column)")
    }
  }

  /// Leaves out parts in which there is nothing to see.
  /// - Parameter isWorthIt: whether contenders are worth a panel.
  package mutating func keep(_ isWorthIt: ([Entry]) -> Bool) { parts.removeAll { !isWorthIt($0.entries) } }

  private static func beats(_ one: Entry, _ other: Entry, _ x: Axis, _ y: Axis) -> Bool {
    func gain(_ value: KeyPath<Entry, Value>, _ axis: Axis) -> Double {
      (other[keyPath: value].mean - one[keyPath: value].mean) * (axis.isLowerBetter ? 1 : -1)
    }
    let (across, up) = (gain(\.x, x), gain(\.y, y))
    return across >= 0 && up >= 0 && across + up > 0
  }

  /// Words for columns; of several the first that a table has.
  private static let words: [String: [String]] = [
    "error": ["error_rel"], "kept": ["kept_mass"], "loss": ["test_loss"], "accuracy": ["test_accuracy"],
    "seconds": ["seconds_median", "seconds"], "time": ["seconds_median", "seconds"],
    "memory": ["memory_bytes", "attention_bytes"], "operations": ["flops", "compute_flops"],
    "speed": ["gflops", "tokens_per_second"],
  ]
  private static let higherIsBetter = [
    "accuracy", "gflops", "fraction_of_peak", "per_second", "speedup", "kept_mass",
  ]

  private static func axis<Row: Record>(_ name: String, of row: Row.Type) throws(UsageError) -> Axis {
    let candidates = [name] + (words[name] ?? [])
    guard let field = candidates.lazy.compactMap({ name in row.schema.first { $0.name == name } }).first
    else {
      let short = words.filter { $0.value.contains { row.columns.contains($0) } }.keys.sorted()
      let known = short + row.columns.filter { !short.contains($0) }
      throw UsageError("--pareto \(shown(name)): it takes one of \(choices(known, near: name))")
    }
    return Axis(
      column: field.name, unit: field.unit,
      isLowerBetter: !higherIsBetter.contains { field.name.contains($0) })
  }
}

extension ParetoView.Value {
  fileprivate init?(_ values: [Double]) {
    guard let low = values.min(), let high = values.max() else { return nil }
    self.init(mean: values.reduce(0, +) / Double(values.count), low: low, high: high, count: values.count)
  }
}

extension ParetoView.Axis {
  /// A value for people.
  func describe(_ value: ParetoView.Value) -> String {
    func one(_ value: Double) -> String {
      switch unit {
      case "s": Quantity.describe(seconds: value)
      case "bytes": Quantity.describe(bytes: value)
      default: Quantity.significant(value, 3)
      }
    }
    let (low, high) = (one(value.low), one(value.high))
    return low == high ? one(value.mean) : "\(one(value.mean)) [\(low), \(high)]"
  }
}

extension ParetoView {
  /// The view of measurements, at the length at which they are compared.
  /// - Parameters:
  ///   - comparison: rows side by side.
  ///   - names: as in `init`.
  /// - Throws: `UsageError` as `init`.
  /// - Returns: a part a pass, shape and machine.
  public static func of(_ comparison: Comparison, _ names: [String]) throws(UsageError) -> ParetoView {
    let contenders = MeasurementRow.identity.filter { $0.role == .contender && $0.name != "seed" }
    let seed = MeasurementRow.identity.first { $0.name == "seed" }
    let parts = comparison.parts.compactMap { part in
      part.length.map { length in
        let found = part.lines.compactMap { line in
          line.series.row(at: length).map { (label: line.series.label, row: $0) }
        }
        let series = found.grouped { $0.row.key(contenders) }.map(\.elements).map { seeds in
          let words = seeds.count > 1 ? seed?.words(seeds[0].row) ?? "" : ""
          return (
            label: words.isEmpty ? seeds[0].label : seeds[0].label.replacing(" \(words)", with: ""),
            rows: seeds.map(\.row)
          )
        }
        return (title: "\(part.panel.title), n = \(length)", series: series)
      }
    }
    return try ParetoView(parts, names)
  }

  /// The view as tables.
  /// - Parameter format: of the tables.
  /// - Returns: the tables, a part each.
  public func text(_ format: TableFormat) -> String {
    let hasSeeds = parts.contains { $0.entries.contains { $0.x.count > 1 } }
    let range = hasSeeds ? "; means over seeds [least, greatest]" : ""
    if format == .csv { return table(parts.flatMap(\.entries)).text(as: .csv) }
    return parts.map { title, entries in
      let words = [title, "\(y.column) against \(x.column)\(range)"].filter { !$0.isEmpty }.joined(
        separator: ": ")
      let best = [x, y].map { "\($0.isLowerBetter ? "less" : "more") \($0.column)" }.joined(
        separator: " and ")
      return Comparison.block(
        words, table(entries).text(as: format), "better is \(best); on the frontier: no other one beats it",
        format)
    }.joined(separator: "\n\n")
  }

  private func table(_ entries: [Entry]) -> TextTable {
    var table = TextTable(["contender", x.column, y.column, "frontier"])
    for entry in entries {
      table.add([
        entry.label, x.describe(entry.x), y.describe(entry.y),
        entry.beatenBy.map { "beaten by \($0)" } ?? "yes",
      ])
    }
    return table
  }

  /// The view for programs.
  public var json: JSONValue {
    func value(_ value: Value) -> JSONValue {
      .object([
        "mean": .double(value.mean), "low": .double(value.low), "high": .double(value.high),
        "count": .int(value.count),
      ])
    }
    return .object([
      "x": .string(x.column), "y": .string(y.column),
      "parts": .array(
        parts.map { title, entries in
          .object([
            "title": .string(title),
            "contenders": .array(
              entries.map { entry in
                .object([
                  "label": .string(entry.label), "x": value(entry.x), "y": value(entry.y),
                  "frontier": .bool(entry.beatenBy == nil), "beaten_by": .text(entry.beatenBy),
                ])
              }),
          ])
        }),
    ])
  }

  /// The contenders with their names beside them, bars over seeds, and the frontier as a dashed line.
  package var figure: Figure {
    let all = parts.flatMap(\.entries)
    let across = Figure.Axis.column(x.column, isLog: all.allSatisfy { $0.x.low > 0 }, losses: lossUnit)
    let up = Figure.Axis.column(y.column, isLog: all.allSatisfy { $0.y.low > 0 }, losses: lossUnit)
    var styles: [String: Int] = [:]
    for entry in all where styles[entry.label] == nil {
      // The style of the frontier is left out.
      let next = styles.count
      styles[entry.label] = next < Figure.Curve.grey ? next : next + 1
    }
    let panels = parts.map { title, entries in
      var panel = Figure.Panel(title: title, x: across, y: up)
      panel.curves = [frontier(entries)] + entries.map { Self.curve($0, style: styles[$0.label] ?? 0) }
      panel.notes = entries.map {
        Figure.Note(x: $0.x.mean, y: $0.y.mean, text: escaped($0.label), style: styles[$0.label] ?? 0)
      }
      return panel
    }
    return Figure(title: "", panels: panels)
  }

  private static func curve(_ entry: Entry, style: Int) -> Figure.Curve {
    let (x, y) = (entry.x, entry.y)
    let hasBar = x.low < x.high
    let bar = hasBar ? [Figure.Point(x: x.low, y: y.mean), Figure.Point(x: x.high, y: y.mean)] : []
    let point = Figure.Point(
      x: x.mean, y: y.mean, low: y.low < y.high ? y.low : nil, high: y.low < y.high ? y.high : nil)
    return Figure.Curve(label: "", points: [point], law: bar, style: style)
  }

  /// Steps along what can be had: at every x the best y of those that are as good in x.
  private func frontier(_ entries: [Entry]) -> Figure.Curve {
    let best = entries.filter { $0.beatenBy == nil }.sorted { $0.x.mean < $1.x.mean }
    var steps: [Figure.Point] = []
    for (index, entry) in best.enumerated() {
      if index > 0 {
        let before = best[index - 1]
        steps.append(
          x.isLowerBetter
            ? Figure.Point(x: entry.x.mean, y: before.y.mean)
            : Figure.Point(x: before.x.mean, y: entry.y.mean))
      }
      steps.append(Figure.Point(x: entry.x.mean, y: entry.y.mean))
    }
    var curve = Figure.Curve(label: "frontier", law: steps, style: Figure.Curve.grey)
    curve.isDashed = true
    return curve
  }
}
