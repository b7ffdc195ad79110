import Analysis
import Basics
import Figures
import Foundation
import Presets
import Records

/// The report of a run: one HTML page that needs nothing else.
public struct Report: Sendable {
  /// All rows.
  public let rows: [MeasurementRow]
  /// The comparison of all passes.
  public let comparison: Comparison
  private let provenance: Provenance
  private let folder: String

  /// Reads the results in a folder.
  /// - Throws: `UsageError` when there are none.
  public init(folder: String) throws(UsageError) {
    self.folder = folder
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw UsageError(
        "\(shown(folder, limit: 400)): no such folder; give one that attnlab run wrote, such as results/quickstart"
      )
    }
    let file = folder + "/measurements.csv"
    guard FileManager.default.fileExists(atPath: file) else {
      throw UsageError("\(folder): there is no measurements.csv in it; attnlab run writes one")
    }
    rows = try ResultFiles.rows([file])
    comparison = try Comparison(rows)
    provenance = try Provenance(folder: folder, fallbackName: rows[0].preset)
  }

  /// Writes the page.
  /// - Parameter file: where; `report.html` in the folder by default.
  /// - Returns: the path of the page, and what is missing in it.
  /// - Throws: `UsageError` when it cannot be written.
  public func write(to file: String? = nil) async throws -> (path: String, warning: String?) {
    let path = file ?? folder + "/report.html"
    var figures: [String] = []
    var warning: String?
    for (number, item) in Report.figures.enumerated() {
      let figure = MeasurementPlot.figure(comparison, item.metric)
      guard !figure.panels.isEmpty else { continue }
      if let svg = try await Gnuplot.inlineSVG(figure) {
        figures.append(HTML.figure(HTML.adopt(svg, prefix: "f\(number)"), item.caption))
      } else {
        warning = Gnuplot.advice + "; the report has no pictures"
      }
    }
    try RunFolder.replace(path, with: page(figures, warning))
    return (path, warning)
  }

  private static let figures: [(metric: Metric, caption: String)] = [
    (
      .time,
      "Time of a pass over the sequence length. Points: medians; bars: 20th to 80th percentile; lines: fits of a·n^b + c with the 95 % band of the curve; the legend gives b with its 95 % interval."
    ),
    (
      .memory,
      "Memory of a pass as the ledger counted it: inputs, results and workspace. The legend gives the exponent of the whole, or of the workspace where that is most of it."
    ),
    (
      .speedup,
      "How many times faster than full attention at the same length; above the dashed line a variant is faster."
    ),
    (
      .error,
      "Relative error against full attention on the same inputs, over sampled query rows computed exactly in double precision: of the output, or for backward of the gradient of q."
    ),
    (
      .peak,
      "Floating-point operations on needed pairs, as a share of the fused multiply-add peak measured in the same run."
    ),
  ]

  func page(_ figures: [String], _ warning: String?) -> String {
    var body = provenance.head(rows: "\(rows.count) cells", startedAt: rows.map(\.startedAt))
    body += "<h2>In short</h2>\n<ul class=\"short\">"
    body += findings().map { "<li>\(html($0))</li>" }.joined(separator: "\n") + "</ul>\n"
    body += "<h2>Pictures</h2>\n" + (warning.map { "<p>\(html($0))</p>" } ?? "")
    body += figures.joined(separator: "\n")
    body += tables() + laws() + failures() + provenance.section + allRows()
    return provenance.page(body, source: "measurements.csv")
  }
}
