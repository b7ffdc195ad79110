import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Testing

/// The documentation says what the program says: a page for each variant, tables as `attnlab list` prints them, links
/// that lead somewhere, commands that run (`ExampleTests`) and pictures as they are drawn.
///
/// `make pages` (`ATTNLAB_WRITE_PAGES=1`) writes tables and pictures anew instead of comparing them.
@Suite struct DocumentationTests {
  /// The headings of a variant's page, in their order.
  static let headings = [
    "Meaning", "Equation", "Settings", "Cost", "When to use it", "What differs elsewhere", "Picture",
  ]

  @Test("every variant has a page", arguments: Catalog.standard.ids)
  func everyVariantHasAPage(variant: String) throws {
    let page = Documents.catalogue + "/Variants/\(variant).md"
    #expect(FileManager.default.fileExists(atPath: page), "write \(page)")
    let text = try Documents.text(of: page)
    #expect(text.contains("<!-- attnlab list \(variant) --markdown -->"), "\(page): it needs its settings")
  }

  @Test("pages of variants have the same headings", arguments: try Documents.pages(in: "Variants"))
  func headings(page: String) throws {
    let found = try Documents.prose(of: page).split(separator: "\n").filter { $0.hasPrefix("## ") }
      .map { $0.dropFirst(3) }
    #expect(found.map(String.init) == Self.headings, "\(page)")
  }

  @Test("generated tables are as attnlab list prints them", arguments: try Documents.pages())
  func tables(page: String) throws {
    let text = try Documents.text(of: page)
    let renewed = try Documents.renewingTables(in: text)
    if Documents.writesPages { try renewed.write(toFile: page, atomically: true, encoding: .utf8) }
    #expect(
      Documents.writesPages || text == renewed, "\(page): its tables are not what is declared; run make pages"
    )
  }

  @Test("links of documents lead to files", arguments: try Documents.all())
  func links(file: String) throws {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent()
    for link in try Documents.links(in: file) where !(Documents.writesPages && link.hasSuffix(".svg")) {
      let target = folder.appendingPathComponent(link).standardizedFileURL.path
      #expect(FileManager.default.fileExists(atPath: target), "\(file): \(link)")
    }
  }

  /// The modules page and the README name every folder of Sources and no other; a module imports only those above it.
  @Test func thePictureOfTheModulesIsTrue() throws {
    let sources = ExampleFolder.package + "/Sources"
    let folders = try FileManager.default.contentsOfDirectory(atPath: sources).sorted()
    let page = try Documents.text(of: Documents.catalogue + "/Reference/modules.md")
    let modules = page.matches(of: /\n\| (`[^|]*`) \|/).flatMap { row in
      row.output.1.split(separator: ", ").map { $0.trimmingCharacters(in: ["`"]) }
    }
    #expect(modules.sorted() == folders)
    let readme = try Documents.text(of: ExampleFolder.package + "/README.md")
    for folder in folders { #expect(readme.contains("\(folder)/ "), "README.md: \(folder)/") }
    for (place, module) in modules.enumerated() {
      let files = try FileManager.default.subpathsOfDirectory(atPath: "\(sources)/\(module)")
      for file in files where file.hasSuffix(".swift") {
        let imported = try Documents.text(of: "\(sources)/\(module)/\(file)")
          .matches(of: /(?m)^(?:@\w+ |public )*import (\w+)/).map { String($0.output.1) }
        for name in imported where folders.contains(name) {
          #expect(modules[..<place].contains(name), "\(module)/\(file) imports \(name), which stands below")
        }
      }
    }
  }

  /// A module is small enough to know: at most 4,000 lines. The engine with its variants and the protocol that it serves,
  /// with definition and conformance, are larger.
  @Test func noModuleButTheEngineIsLarge() throws {
    let sources = ExampleFolder.package + "/Sources"
    for module in try FileManager.default.contentsOfDirectory(atPath: sources)
    where !["AttentionCore", "Attention"].contains(module) {
      let files = try FileManager.default.subpathsOfDirectory(atPath: "\(sources)/\(module)")
        .filter { $0.hasSuffix(".swift") }
      let lines = try files.map { file in
        try Documents.text(of: "\(sources)/\(module)/\(file)").split(
          separator: "\n", omittingEmptySubsequences: false
        ).count - 1
      }
      #expect(lines.reduce(0, +) <= 4000, "\(module) has to be split")
    }
  }

  @Test func theReadmeIsShort() throws {
    let lines = try Documents.text(of: ExampleFolder.package + "/README.md").split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 150)
  }
}

/// The documents of the package.
enum Documents {
  /// The catalogue's folder.
  static let catalogue = ExampleFolder.package + "/Sources/AttentionLab/Documentation.docc"
  /// Its folders.
  static let folders = ["Guides", "Reference", "Variants"]
  /// Whether tables and pictures are written anew.
  static let writesPages = ProcessInfo.processInfo.environment["ATTNLAB_WRITE_PAGES"] == "1"

  /// The catalogue's pages in order, or those of one of its folders.
  static func pages(in folder: String = "") throws -> [String] {
    try markdown(in: catalogue + (folder.isEmpty ? "" : "/\(folder)"))
  }

  /// All documents, those beside the presets and results too.
  static func all() throws -> [String] {
    let package = ExampleFolder.package
    return try ["\(package)/README.md"] + pages() + markdown(in: "\(package)/Experiments")
      + markdown(in: "\(package)/results")
  }

  private static func markdown(in folder: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".md") && !$0.contains(".build/") }.sorted().map { "\(folder)/\($0)" }
  }

  /// A document's text.
  static func text(of file: String) throws -> String { try String(contentsOfFile: file, encoding: .utf8) }

  /// A document without its code blocks.
  static func prose(of file: String) throws -> String {
    try text(of: file).components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 0 }
      .map(\.element).joined()
  }

  /// A preset that a page shows.
  struct Preset: Sendable {
    let page: String
    let text: String
  }

  /// The presets of the catalogue's pages, but for those with a variant of another package.
  static func presets() throws -> [Preset] {
    try pages().flatMap { page in
      try text(of: page).matches(of: /```yaml\n(.*?)```/.dotMatchesNewlines())
        .map { Preset(page: page, text: String($0.output.1)) }
    }.filter { !$0.text.contains("strided") }
  }

  /// The files that a document links to, relative to its folder; not pages of the web, nor of the catalogue, which docc
  /// resolves.
  static func links(in file: String) throws -> [String] {
    try prose(of: file).matches(of: /\]\(([^)\s]+)\)/).map { String($0.output.1) }
      .filter { !$0.contains(":") && !$0.hasPrefix("#") }
      .map { $0.components(separatedBy: "#")[0] }
  }

  /// A page with what stands between `<!-- attnlab list … -->` and `<!-- end -->` printed anew.
  static func renewingTables(in text: String) throws -> String {
    let block = /<!-- attnlab (list [^\n]*?) -->\n.*?<!-- end -->/.dotMatchesNewlines()
    var renewed = ""
    var rest = text[...]
    while let match = rest.firstMatch(of: block) {
      let printed = try BuiltProgram.attnlab.run(match.output.1.split(separator: " ").map(String.init))
      #expect(printed.code == 0, "attnlab \(match.output.1): \(printed.errors)")
      renewed += rest[..<match.range.lowerBound]
      renewed += "<!-- attnlab \(match.output.1) -->\n\(printed.output)<!-- end -->"
      rest = rest[match.range.upperBound...]
    }
    return renewed + rest
  }
}
