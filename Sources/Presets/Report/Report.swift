import AttentionCore
import Basics
import Figures
import Foundation
import Records

/// What a report wrote.
public struct ReportFiles: Sendable {
  /// The page; empty: none.
  public var page = ""
  /// The pictures beside the results.
  public var pictures: [String] = []

  /// Nothing yet.
  public init() {}
  init(page: String, pictures: [String]) { (self.page, self.pictures) = (page, pictures) }
}

/// The report of one or several folders: one HTML page that needs nothing else, with a part for each kind of experiment that has
/// results there, and the pictures that stand beside them as files of their own.
public struct Report: Sendable {
  /// A folder's part of a page.
  private struct Part {
    let folder: String
    let sections: [ReportSection]
    let provenance: Provenance

    init(folder: String, kinds: ExperimentCatalog, variants: Catalog) throws(UsageError) {
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
      for kind in present { sections.append(try kind.section(in: folder, variants: variants)) }
      self.sections = sections
      let name = sections.lazy.compactMap(\.preset).first
      provenance = try Provenance(
        folder: folder, fallbackName: name ?? URL(fileURLWithPath: folder).lastPathComponent,
        places: sections.flatMap(\.origins))
    }
  }

  /// The page's name in the folder of its results.
  public static let file = "report.html"
  /// The name of the text beside it, which makes the folder a data set.
  public static let card = "README.md"

  private let parts: [Part]
  private let kinds: ExperimentCatalog

  /// Reads the results in folders.
  /// - Parameters:
  ///   - folders: the folders, at least one.
  ///   - kinds: the kinds of experiment whose tables are looked for.
  ///   - variants: those whose patterns can be drawn.
  /// - Throws: `UsageError` when there is a folder without results.
  public init(
    folders: [String], kinds: ExperimentCatalog, variants: Catalog = Catalog([])
  ) throws(UsageError) {
    var parts: [Part] = []
    for folder in folders { parts.append(try Part(folder: folder, kinds: kinds, variants: variants)) }
    (self.parts, self.kinds) = (parts, kinds)
  }

  /// Writes into every folder the text that makes it a data set: what was run, columns, how to read and to make them again.
  /// - Returns: the texts that were written; a text of a user's own is left alone.
  /// - Throws: `UsageError` when one cannot be written.
  @discardableResult public func describe() throws(UsageError) -> [String] {
    var written: [String] = []
    for part in parts {
      let card = DataCard(part.provenance, folder: part.folder, kinds: kinds)
      if let file = try card.write() { written.append(file) }
    }
    return written
  }

  /// Draws the pictures that stand beside the results: SVG with gnuplot's script and data.
  /// - Returns: the pictures' paths.
  /// - Throws: `UsageError` when gnuplot is missing or cannot draw.
  public func drawPictures() async throws -> [String] {
    var paths: [String] = []
    for part in parts {
      for picture in part.sections.flatMap(\.pictures) {
        guard let name = picture.name else { continue }
        paths.append(try await Gnuplot.draw(picture.figure, to: "\(part.folder)/\(name).svg")[0])
      }
    }
    return paths
  }

  /// Writes the page.
  /// - Parameter file: where; `report.html` in the first folder by default.
  /// - Returns: the path of the page, and what is missing in it.
  /// - Throws: `UsageError` when it cannot be written.
  public func write(to file: String? = nil) async throws -> (path: String, warning: String?) {
    let path = file ?? parts[0].folder + "/\(Self.file)"
    var pictures: [[String]] = []
    var warning: String?
    for part in parts {
      var figures: [String] = []
      for picture in part.sections.flatMap(\.pictures) {
        if let pieces = try await Gnuplot.inlineSVG(picture.figure) {
          let command = picture.options.map { "attnlab plot \(shellQuoted(part.folder)) \($0)".trimmed }
          figures.append(HTML.figure(pieces, picture.caption, command: command))
        } else {
          warning = Gnuplot.advice + "; the report has no pictures"
        }
      }
      pictures.append(figures)
    }
    try RunFolder.replace(path, with: page(pictures, warning))
    return (path, warning)
  }

  /// Writes page, pictures and texts, all that stands beside results at the end of a run.
  /// - Parameter warn: is told what is missing.
  /// - Returns: what was written.
  /// - Throws: `UsageError` when a file cannot be written.
  public func writeAll(_ warn: (String) -> Void) async throws -> ReportFiles {
    let (page, warning) = try await write()
    if let warning { warn(warning) }
    try describe()
    return ReportFiles(page: page, pictures: warning == nil ? try await drawPictures() : [])
  }

  /// The page.
  /// - Parameters:
  ///   - pictures: of each folder; none at all where there are none.
  ///   - warning: why some are missing.
  func page(_ pictures: [[String]], _ warning: String?) -> String {
    let bodies = parts.enumerated().map { number, part in
      body(of: part, pictures.isEmpty ? [] : pictures[number], warning)
    }
    let sources = Set(parts.flatMap { $0.sections.map(\.source) }).sorted().joined(separator: " and ")
    return Provenance.page(bodies, titles: parts.map(\.provenance.title), source: sources)
  }

  private func body(of part: Part, _ figures: [String], _ warning: String?) -> String {
    let (sections, provenance) = (part.sections, part.provenance)
    let head = provenance.head(
      rows: sections.map(\.count).joined(separator: " · "), startedAt: sections.flatMap(\.startedAt))
    var body = ""
    let findings = sections.flatMap(\.findings)
    if !findings.isEmpty {
      let items = findings.map { "<li>\(html($0))</li>" }.joined(separator: "\n")
      body += "<h2>In short</h2>\n<ul class=\"short\">\(items)</ul>\n"
    }
    if !figures.isEmpty || warning != nil {
      body += "<h2>Pictures</h2>\n" + (warning.map { "<p>\(html($0))</p>" } ?? "")
      if !figures.isEmpty {
        body +=
          "<p class=\"meta screen\">A mark tells its values when the pointer rests on it; a click hides a curve.</p>\n"
      }
      body += figures.joined(separator: "\n")
    }
    body += sections.map(\.body).joined()
    body += provenance.section(folder: part.folder, tables: sections.flatMap(\.tables))
    return head + body
  }
}
