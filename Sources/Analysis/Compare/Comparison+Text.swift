import Basics
import Records

extension Comparison {
  /// The whole comparison as text.
  public var text: String { text(ComparisonView()) }

  /// One metric as text, over all lengths or at the one that was asked for.
  /// - Parameter metric: the quantity.
  /// - Returns: a table a part.
  public func text(of metric: Metric) -> String {
    var view = ComparisonView()
    view.metric = metric
    return text(view)
  }

  /// The comparison in a view.
  /// - Parameter view: quantities, order and format.
  /// - Returns: text without a line break at the end. CSV is one table of all parts, its values in the units of the
  ///   results' columns, and nothing else.
  public func text(_ view: ComparisonView) -> String {
    if view.format == .csv { return csv(view) }
    return (parts.map { text($0, view) } + notes).joined(separator: "\n\n")
  }

  /// The columns of a part's table.
  private func columns(_ part: Part, _ view: ComparisonView) -> [ComparedTable.Column] {
    if let metric = view.metric {
      let lengths = length.map { [$0] } ?? part.panel.lengths
      return lengths.map { .init(title: "n = \($0)", metric: metric, length: $0) }
    }
    return part.length.map { length in
      Self.known(view.metrics, of: part, at: length).map {
        .init(title: $0.heading, metric: $0, length: length)
      }
    } ?? []
  }

  private func text(_ part: Part, _ view: ComparisonView) -> String {
    let columns = columns(part, view)
    var blocks: [String] = []
    if !columns.isEmpty {
      let table = ComparedTable(part, columns, sort: view.order, isComplete: view.metric != nil)
      let what =
        view.metric.map { ": \($0.quantity.replacing("the baseline", with: baselineName))" }
        ?? part.length.map { ", n = \($0)" } ?? ""
      blocks.append(
        Self.block(
          "\(part.panel.title)\(what)", table.text(view.format), table.note(view.format), view.format))
    }
    guard view.metric == nil else { return blocks.joined(separator: "\n\n") }
    if part.panel.lengths.count > 1 { blocks.append(lengths(part, view.format)) }
    if !part.panel.failures.isEmpty { blocks.append(failures(part.panel, view.format)) }
    return blocks.joined(separator: "\n\n")
  }

  /// How the series grow with the length. Too few lengths have no law: what was measured at all of them is then the metric's table.
  private func lengths(_ part: Part, _ format: TableFormat) -> String {
    let lengths = part.panel.lengths.map(String.init)
    guard part.lines.allSatisfy(\.hasNoLaw) else {
      let title =
        "growth with n, \(lengths[0]) … \(lengths[lengths.count - 1]) (fits of a·n^b + c; 95 % intervals)"
      return Self.block(title, growth(part).text(as: format), Self.legend(part.lines), format)
    }
    return (format == .latex ? "% " : "") + "measured at n = \(lengths.joined(separator: ", ")); "
      + "--metric time shows all of them, a law of growth takes 4 or more"
  }

  /// A table with its title and what its signs mean.
  static func block(_ title: String, _ table: String, _ note: String?, _ format: TableFormat) -> String {
    switch format {
    case .text, .csv: ([title, table] + [note].compactMap(\.self)).joined(separator: "\n")
    case .md: (["**\(title)**", table] + [note].compactMap(\.self)).joined(separator: "\n\n")
    case .latex:
      (["% \(title)", table] + [note.map { "% \($0)" }].compactMap(\.self)).joined(separator: "\n")
    }
  }

  /// What the signs in laws and crossovers mean, as far as they are used.
  private static func legend(_ lines: [Line]) -> String? {
    let words = lines.flatMap { [$0.time.text, $0.memory.text, $0.crossover.text] }
    var notes: [String] = []
    if words.contains(where: { $0.contains("[?") || $0.contains("?]") }) {
      notes.append("?: an end of the interval that the data do not set")
    }
    if words.contains(where: { $0.contains("beyond the data") }) {
      notes.append("beyond the data: the curves meet outside the measured lengths")
    }
    if words.contains(where: { $0.contains("not told apart") }) {
      notes.append("not told apart: the data do not set where the curves meet")
    }
    return notes.isEmpty ? nil : notes.joined(separator: "; ")
  }

  /// Metrics without those that came later than most results and that no row here has.
  private static func known(_ metrics: [Metric], of part: Part, at length: Int) -> [Metric] {
    metrics.filter { metric in
      metric != .kept || part.lines.contains { $0.series.row(at: length)?.keptMass != nil }
    }
  }

  /// The table at one length: its header, and a row a series with all metrics.
  package static func side(_ part: Part, at length: Int) -> (header: [String], cells: [[String]]) {
    let columns = known(ComparisonView.usual, of: part, at: length).map {
      ComparedTable.Column(title: $0.heading, metric: $0, length: length)
    }
    let table = ComparedTable(part, columns, sort: nil, isComplete: false)
    return (["variant"] + columns.map(\.title), table.words)
  }

  /// The header of the table of laws.
  func growthHeader() -> [String] { ["variant", "time ∝ n^b", "memory ∝ n^b", "against \(baselineName)"] }

  private func growth(_ part: Part) -> TextTable {
    var table = TextTable(growthHeader())
    for line in part.lines {
      table.add([line.series.label, line.time.text, line.memory.text, line.crossover.text])
    }
    return table
  }

  private func failures(_ panel: Panel, _ format: TableFormat) -> String {
    let start = format == .latex ? "%" : format == .md ? "-" : " "
    return "\(format == .latex ? "% " : "")not measured:\n\(format == .md ? "\n" : "")"
      + panel.failures.map { "\(start) \(panel.name(of: $0)): \($0["status"]): \($0.reason)" }
      .joined(separator: "\n")
  }

  /// One table of all parts: a line a variant and length.
  private func csv(_ view: ComparisonView) -> String {
    let metrics = view.metric.map { [$0] } ?? view.metrics
    var table = TextTable(["part", "variant", "n"] + metrics.map(\.rawValue))
    for part in parts {
      let lengths = view.metric == nil ? [part.length].compactMap(\.self) : columns(part, view).map(\.length)
      for length in lengths {
        let columns = metrics.map { ComparedTable.Column(title: $0.heading, metric: $0, length: length) }
        let found = ComparedTable(part, columns, sort: view.order, isComplete: true)
        for line in found.lines(of: part.panel.title) { table.add(line) }
      }
    }
    return table.text(as: .csv)
  }
}
