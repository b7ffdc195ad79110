import Basics
import Figures
import Foundation
import Records

/// The report of a folder: one HTML page that needs nothing else, with a part for each kind of experiment that has results
/// there, and the pictures that stand beside them as files of their own.
public struct Report: Sendable {
  private let sections: [ReportSection]
  private let provenance: Provenance
  private let folder: String

  /// Reads the results in a folder.
  /// - Throws: `UsageError` when there are none.
  public init(folder: String, kinds: ExperimentCatalog) throws(UsageError) {
    self.folder = folder
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw UsageError(
        "\(shown(folder, limit: 400)): no such folder; give one that attnlab run wrote, such as results/quickstart"
      )
    }
    let present = kinds.types.filter { FileManager.default.fileExists(atPath: folder + "/" + $0.table) }
    guard !present.isEmpty else {
      let tables = kinds.types.map { $0.table }.joined(separator: " or ")
      throw UsageError("\(folder): there is no \(tables) in it; attnlab run writes one")
    }
    var sections: [ReportSection] = []
    for kind in present { sections.append(try kind.section(in: folder)) }
    self.sections = sections
    let name = sections.lazy.compactMap(\.preset).first
    provenance = try Provenance(
      folder: folder, fallbackName: name ?? URL(fileURLWithPath: folder).lastPathComponent,
      places: sections.flatMap(\.origins))
  }

  /// Draws the pictures that stand beside the results: SVG with gnuplot's script and data.
  /// - Returns: the pictures' paths.
  /// - Throws: `UsageError` when gnuplot is missing or cannot draw.
  public func drawPictures() async throws -> [String] {
    var paths: [String] = []
    for picture in sections.flatMap(\.pictures) {
      guard let name = picture.name else { continue }
      paths.append(try await Gnuplot.draw(picture.figure, to: "\(folder)/\(name).svg")[0])
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
    for (number, picture) in sections.flatMap(\.pictures).enumerated() {
      if let svg = try await Gnuplot.inlineSVG(picture.figure) {
        figures.append(HTML.figure(HTML.adopt(svg, prefix: "f\(number)"), picture.caption))
      } else {
        warning = Gnuplot.advice + "; the report has no pictures"
      }
    }
    try RunFolder.replace(path, with: page(figures, warning))
    return (path, warning)
  }

  func page(_ figures: [String], _ warning: String?) -> String {
    var body = provenance.head(
      rows: sections.map(\.count).joined(separator: " · "), startedAt: sections.flatMap(\.startedAt))
    let findings = sections.flatMap(\.findings)
    if !findings.isEmpty {
      let items = findings.map { "<li>\(html($0))</li>" }.joined(separator: "\n")
      body += "<h2>In short</h2>\n<ul class=\"short\">\(items)</ul>\n"
    }
    if !figures.isEmpty || warning != nil {
      body += "<h2>Pictures</h2>\n" + (warning.map { "<p>\(html($0))</p>" } ?? "")
      body += figures.joined(separator: "\n")
    }
    body += sections.map { $0.body(provenance.name) }.joined() + provenance.section
    body += sections.map(\.rows).joined()
    return provenance.page(body, source: sections.map(\.source).joined(separator: " and "))
  }
}
