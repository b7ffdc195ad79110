import Basics
import Records

/// Variants under each other, quantities side by side, the best of every column marked.
///
/// What is shown with the same digits is marked alike. Times whose ranges from the 20th to the 80th percentile overlap with
/// that of the best are not told apart from it, and neither is what is computed from them.
package struct ComparedTable {
  /// A quantity at a length.
  package struct Column {
    package let title: String
    package let metric: Metric
    package let length: Int
  }

  /// How a cell stands to the others of its column.
  enum Mark { case none, best, tied }

  private struct Cell {
    var value: Double?
    var text: String
    var low: Double?, high: Double?
    var mark = Mark.none
  }

  /// Signs of the marks, for a line below the table.
  static let legend = (
    best: "best of its column",
    tied: "not told apart from it: the 20th to 80th percentiles of the times overlap"
  )

  package let columns: [Column]
  package let labels: [String]
  private var cells: [[Cell]]

  /// A table of a part.
  /// - Parameters:
  ///   - part: a pass at a shape.
  ///   - columns: what stands side by side.
  ///   - sort: which column comes in order, the best first; `nil`: the order of the rows.
  ///   - isComplete: whether variants without any row at these lengths stand in it, with the reason.
  package init(_ part: Comparison.Part, _ columns: [Column], sort: ComparisonView.Order?, isComplete: Bool) {
    self.columns = columns
    var lines = part.lines.filter { line in
      isComplete || columns.contains { line.series.row(at: $0.length) != nil }
    }
    switch sort {
    case nil: break
    case .variant: lines = lines.stablySorted { $0.series.label }
    case .metric(let metric):
      let length = part.length ?? columns.last?.length
      func value(_ line: Comparison.Line) -> Double {
        let row = length.flatMap { line.series.row(at: $0) }
        let found = row.flatMap { metric.value($0, baselineSeconds: line.baselineSeconds(at: length)) }
        return found.map { metric.isLowerBetter ? $0 : -$0 } ?? .infinity
      }
      lines = lines.stablySorted { value($0) }
    }
    labels = lines.map(\.series.label)
    cells = lines.map { line in columns.map { Self.cell(line, $0, part) } }
    for column in columns.indices where columns[column].metric.isContested { mark(column) }
  }

  private static func cell(_ line: Comparison.Line, _ column: Column, _ part: Comparison.Part) -> Cell {
    guard let row = line.series.row(at: column.length) else {
      // Why there is no number.
      let reason = part.panel.failure(of: line.series, at: column.length)?.status?.rawValue
      return Cell(value: nil, text: reason ?? "–")
    }
    let value = column.metric.value(row, baselineSeconds: line.baselineSeconds(at: column.length))
    let isTimed = column.metric.isTimed && (row.repeats ?? 2) > 1
    return Cell(
      value: value, text: column.metric.describe(value), low: isTimed ? row.secondsP20 : nil,
      high: isTimed ? row.secondsP80 : nil)
  }

  private mutating func mark(_ column: Int) {
    let isLower = columns[column].metric.isLowerBetter
    let known = cells.indices.filter { cells[$0][column].value?.isFinite == true }
    let order = known.sorted {
      let (a, b) = (cells[$0][column].value ?? 0, cells[$1][column].value ?? 0)
      return isLower ? a < b : a > b
    }
    guard let best = order.first.map({ cells[$0][column] }), known.count > 1,
      !known.allSatisfy({ cells[$0][column].text == best.text })
    else { return }
    for row in known {
      let cell = cells[row][column]
      if cell.text == best.text {
        cells[row][column].mark = .best
      } else if let low = cell.low, let high = cell.high, let bestLow = best.low, let bestHigh = best.high,
        low <= bestHigh, bestLow <= high
      {
        cells[row][column].mark = .tied
      }
    }
  }

  private func has(_ mark: Mark) -> Bool { cells.contains { $0.contains { $0.mark == mark } } }

  /// What the marks mean; `nil`: there are none.
  func note(_ format: TableFormat) -> String? {
    guard has(.best) else { return nil }
    let sign = format == .text ? "*" : "bold:"
    let tied = has(.tied) ? [(format == .text ? "≈ " : "≈: ") + Self.legend.tied] : []
    return (["\(sign) \(Self.legend.best)"] + tied).joined(separator: "; ")
  }

  /// The table in a format for people.
  func text(_ format: TableFormat) -> String {
    var table = TextTable(["variant"] + columns.map(\.title))
    // Signs stand behind numbers, so that digits stay below digits.
    let isMarked = columns.indices.map { column in cells.contains { $0[column].mark != .none } }
    for (label, cells) in zip(labels, cells) {
      table.add(
        [label]
          + zip(cells, isMarked).map { cell, isMarked in
            switch (format, cell.mark) {
            case (.text, .none): isMarked ? cell.text + "\u{A0}\u{A0}" : cell.text
            case (.text, .best): cell.text + "\u{A0}*"
            case (.text, .tied): cell.text + "\u{A0}≈"
            case (_, .none): cell.text
            case (_, .best): "**\(cell.text)**"
            case (_, .tied): cell.text + " ≈"
            }
          })
    }
    return table.text(as: format).replacing("\u{A0}", with: " ").split(
      separator: "\n", omittingEmptySubsequences: false
    ).map { String($0).trimmingSuffix(" ") }.joined(separator: "\n")
  }

  /// Cells as people read them, without marks.
  package var words: [[String]] { zip(labels, cells).map { [$0] + $1.map(\.text) } }

  /// Values in the units of the results' columns, one line a variant.
  /// - Parameter name: of the part.
  func lines(of name: String) -> [[String]] {
    zip(labels, cells).map { label, cells in
      [name, label, columns.first.map { "\($0.length)" } ?? ""]
        + cells.map { $0.value.map { JSONValue.double($0).compact } ?? "" }
    }
  }
}
