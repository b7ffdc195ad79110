extension Comparison {
  /// The whole comparison as text.
  public var text: String { parts.map(Self.text).joined(separator: "\n\n") }

  /// One metric over all lengths as text.
  public func text(of metric: Metric) -> String {
    parts.map { part in
      var table = TextTable(["variant"] + part.panel.lengths.map { "n = \($0)" })
      for series in part.panel.series {
        let cells = part.panel.lengths.map { length -> String in
          guard let row = series.row(at: length) else { return Self.absence(part, series, length) }
          return metric.describe(
            metric.value(row, baselineSeconds: part.baseline?.row(at: length)?.secondsMedian))
        }
        table.add([series.label] + cells)
      }
      return "\(part.panel.title): \(metric.axis)\n\(table.text)"
    }.joined(separator: "\n\n")
  }

  /// Why a length of a series has no number.
  private static func absence(_ part: Part, _ series: Panel.Series, _ length: Int) -> String {
    part.panel.failures.first { $0.variant == series.variant && $0.keyLength == length }?.status ?? "–"
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
  static let sideHeader = [
    "variant", "time", "spread", "of peak", "memory", "process", "closed form", "error", "speed-up",
  ]

  /// One row a series: all metrics at one length.
  static func sideCells(_ part: Part, at length: Int) -> [[String]] {
    part.panel.series.compactMap { series in
      guard let row = series.row(at: length) else { return nil }
      let base = part.baseline?.row(at: length)?.secondsMedian
      func cell(_ metric: Metric) -> String { metric.describe(metric.value(row, baselineSeconds: base)) }
      return [
        series.label, cell(.time), spread(row), cell(.peak), cell(.memory), cell(.process), cell(.predicted),
        cell(.error), cell(.speedup),
      ]
    }
  }

  private static func side(_ part: Part, at length: Int) -> TextTable {
    var table = TextTable(sideHeader)
    for cells in sideCells(part, at: length) { table.add(cells) }
    return table
  }

  /// Half of the range from the 20th to the 80th percentile, as a share of the median.
  static func spread(_ row: MeasurementRow) -> String {
    guard let median = row.secondsMedian, let low = row.secondsP20, let high = row.secondsP80, median > 0
    else {
      return "–"
    }
    return "±\(Quantity.significant(50 * (high - low) / median, 2)) %"
  }

  /// The header of the table of laws.
  func growthHeader() -> [String] { ["variant", "time ∝ n^b", "memory ∝ n^b", "against \(baselineName)"] }

  private static func growth(_ part: Part) -> TextTable {
    var table = TextTable([
      "variant", "time ∝ n^b", "memory ∝ n^b", "against \(part.baseline?.label ?? "the baseline")",
    ])
    for line in part.lines {
      table.add([line.series.label, line.time.text, line.memory.text, line.crossover.text])
    }
    return table
  }

  private static func failures(_ panel: Panel) -> String {
    "not measured:\n"
      + panel.failures.map { "  \($0.variant) n = \($0.keyLength ?? 0): \($0.status): \($0.reason)" }
      .joined(separator: "\n")
  }
}
