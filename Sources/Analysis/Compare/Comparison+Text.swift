import Basics
import Records

extension Comparison {
  /// The whole comparison as text.
  public var text: String { (parts.map(Self.text) + notes).joined(separator: "\n\n") }

  /// One metric as text, over all lengths or at the one that was asked for.
  public func text(of metric: Metric) -> String {
    let tables = parts.map { part in
      let lengths = length.map { [$0] } ?? part.panel.lengths
      var table = TextTable(["variant"] + lengths.map { "n = \($0)" })
      for line in part.lines {
        let cells = lengths.map { length -> String in
          guard let row = line.series.row(at: length) else {
            // Why there is no number.
            return part.panel.failure(of: line.series, at: length)?.status?.rawValue ?? "–"
          }
          return metric.describe(metric.value(row, baselineSeconds: line.baselineSeconds(at: length)))
        }
        table.add([line.series.label] + cells)
      }
      return "\(part.panel.title): \(metric.quantity)\n\(table.text)"
    }
    return (tables + notes).joined(separator: "\n\n")
  }

  private static func text(_ part: Part) -> String {
    var blocks: [String] = []
    if let length = part.length {
      blocks.append("\(part.panel.title), n = \(length)\n\(side(part, at: length).text)")
    }
    if part.panel.lengths.count > 1, let first = part.panel.lengths.first, let last = part.panel.lengths.last
    {
      blocks.append(
        "growth with n, \(first) … \(last) (fits of a·n^b + c; 95 % intervals)\n\(growth(part).text)")
    }
    if !part.panel.failures.isEmpty { blocks.append(failures(part.panel)) }
    return blocks.joined(separator: "\n\n")
  }

  /// The header of the table at one length.
  package static let sideHeader = [
    "variant", "time", "spread", "of peak", "memory", "process", "closed form", "error", "speed-up",
  ]

  /// One row a series: all metrics at one length.
  package static func sideCells(_ part: Part, at length: Int) -> [[String]] {
    part.lines.compactMap { line in
      guard let row = line.series.row(at: length) else { return nil }
      let base = line.baselineSeconds(at: length)
      func cell(_ metric: Metric) -> String { metric.describe(metric.value(row, baselineSeconds: base)) }
      return [
        line.series.label, cell(.time), spread(row), cell(.peak), cell(.memory), cell(.process),
        cell(.predicted),
        cell(.error), cell(.speedup),
      ]
    }
  }

  private static func side(_ part: Part, at length: Int) -> TextTable {
    var table = TextTable(sideHeader)
    for cells in sideCells(part, at: length) { table.add(cells) }
    return table
  }

  /// Half of the range from the 20th to the 80th percentile, as a share of the median; one repetition has none.
  static func spread(_ row: MeasurementRow) -> String {
    guard let median = row.secondsMedian, let low = row.secondsP20, let high = row.secondsP80, median > 0,
      row.repeats ?? 2 > 1
    else { return "–" }
    let half = (high - low) / median / 2
    // Beyond its own size a spread is a factor: ±1636 % says no more than ±16×.
    return half < 1 ? "±\(Quantity.significant(100 * half, 2)) %" : "±\(Quantity.significant(half, 2))×"
  }

  /// The header of the table of laws.
  func growthHeader() -> [String] { ["variant", "time ∝ n^b", "memory ∝ n^b", "against \(baselineName)"] }

  private static func growth(_ part: Part) -> TextTable {
    var table = TextTable([
      "variant", "time ∝ n^b", "memory ∝ n^b", "against \(part.baseline?.variant ?? "the baseline")",
    ])
    for line in part.lines {
      table.add([line.series.label, line.time.text, line.memory.text, line.crossover.text])
    }
    return table
  }

  private static func failures(_ panel: Panel) -> String {
    "not measured:\n"
      + panel.failures.map { "  \(panel.name(of: $0)): \($0["status"]): \($0.reason)" }
      .joined(separator: "\n")
  }
}
