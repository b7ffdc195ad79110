import Basics
import Figures
import Foundation
import Presets
import Records

/// The report of trainings: one HTML page that needs nothing else, and the pictures as files of their own.
public struct TrainingReport: Sendable {
  /// The comparison.
  public let comparison: TrainingComparison
  private let curves: [CurveRow]?
  private let provenance: Provenance
  private let folder: String

  /// Reads the results in a folder.
  /// - Throws: `UsageError` when there are none.
  public init(folder: String) throws(UsageError) {
    self.folder = folder
    comparison = TrainingComparison(try ResultFiles.trainings([folder + "/runs.csv"]))
    let curves = folder + "/curves.csv"
    self.curves = FileManager.default.fileExists(atPath: curves) ? try CurveRow.read(curves) : nil
    provenance = try Provenance(folder: folder, fallbackName: URL(fileURLWithPath: folder).lastPathComponent)
  }

  /// Draws the pictures beside the results: SVG with gnuplot's script and data.
  /// - Returns: the pictures' paths.
  /// - Throws: `UsageError` when gnuplot is missing or cannot draw.
  public func drawPictures() async throws -> [String] {
    var paths: [String] = []
    for item in TrainingPlot.items(comparison, curves: curves) {
      paths.append(try await Gnuplot.draw(item.figure, to: "\(folder)/\(item.name).svg")[0])
    }
    return paths
  }

  /// Writes the page.
  /// - Parameter file: where; `report.html` in the folder by default.
  /// - Returns: the path of the page, and what is missing in it.
  /// - Throws: `UsageError` when it cannot be written.
  public func write(to file: String? = nil) async throws -> (path: String, warning: String?) {
    let path = file ?? folder + "/report.html"
    var figures: [String] = []
    var warning: String?
    for (number, item) in TrainingPlot.items(comparison, curves: curves).enumerated() {
      if let svg = try await Gnuplot.inlineSVG(item.figure) {
        figures.append(HTML.figure(HTML.adopt(svg, prefix: "t\(number)"), item.caption))
      } else {
        warning = Gnuplot.advice + "; the report has no pictures"
      }
    }
    try RunFolder.replace(path, with: page(figures, warning))
    return (path, warning)
  }

  func page(_ figures: [String], _ warning: String?) -> String {
    let count = comparison.rows.count { $0.isTraining }
    var body = provenance.head(
      rows: "\(count) trainings", startedAt: comparison.rows.map(\.startedAt))
    let sentences = findings
    if !sentences.isEmpty {
      body +=
        "<h2>In short</h2>\n<ul class=\"short\">"
        + sentences.map { "<li>\(html($0))</li>" }.joined(separator: "\n") + "</ul>\n"
    }
    if !figures.isEmpty || warning != nil {
      body +=
        "<h2>Pictures</h2>\n" + (warning.map { "<p>\(html($0))</p>" } ?? "") + figures.joined(separator: "\n")
    }
    let (header, rows) = comparison.table
    body +=
      "<h2>Trainings</h2>\n"
      + HTML.table(
        header, rows,
        caption:
          "Losses in nats. Several seeds: mean ± standard deviation; one: accuracy with Wilson's 95 % interval. "
          + "Attention memory: closed form of the most demanding layer's pass with inputs, results and workspace."
      )
    body += comparison.notes.map { "<p>\(html($0))</p>\n" }.joined()
    body += laws + failures + provenance.section
    let columns = TrainingRow.schema.filter { column in comparison.rows.contains { !column.text($0).isEmpty }
    }
    let all = comparison.rows.map { row in columns.map { $0.text(row) } }
    return provenance.page(
      body + HTML.folded("All \(all.count) rows", HTML.table(columns.map(\.name), all)),
      source: "runs.csv and curves.csv")
  }

  private var findings: [String] {
    comparison.laws.flatMap { law -> [String] in
      let lines = law.lines.map { $0.trimmed }
      return [lines.filter { !$0.hasPrefix("warning") }.joined(separator: "; ") + "."]
    } + comparison.heldOut.map { TrainingComparison.describe($0).trimmed + "." }
      + extremes
  }

  /// The lowest and the highest test loss, where no law speaks.
  private var extremes: [String] {
    let lines = comparison.lines.filter { $0.rows[0].isTraining }
    func loss(_ line: TrainingComparison.Line) -> Double {
      line.rows.reduce(0) { $0 + ($1.testLoss ?? .nan) } / Double(line.rows.count)
    }
    guard comparison.laws.isEmpty, lines.count > 1, let best = lines.min(by: { loss($0) < loss($1) }),
      let worst = lines.max(by: { loss($0) < loss($1) })
    else { return [] }
    return [
      "Lowest test loss: \(best.label), \(Quantity.significant(loss(best), 4)) nats; highest: \(worst.label), "
        + "\(Quantity.significant(loss(worst), 4))."
    ]
  }

  private var laws: String {
    guard !comparison.laws.isEmpty else { return "" }
    let file = "results/\(provenance.name)/runs.csv"
    return "<h2>Laws</h2>\n"
      + comparison.laws.map { law in
        "<pre>\(html(law.lines.joined(separator: "\n")))\n\n\(html(law.command(file: file)))</pre>"
      }.joined(separator: "\n")
  }

  private var failures: String {
    guard !comparison.failures.isEmpty else { return "" }
    let rows = comparison.failures.map { [$0.runID, $0["seed"], $0["status"], $0.reason] }
    return "<h2>Not trained</h2>\n" + HTML.table(["run", "seed", "status", "reason"], rows)
  }
}
