import ArgumentParser
import Basics
import Commands
import Pages
import Presets
import Processes
import Records

/// `attnlab report`: runs as one page.
struct ReportCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Write one self-contained HTML page: tables, plots, fits, environment, provenance.",
    discussion: HelpText.page(
      """
      The page needs no network and no other file. A README.md beside it makes the folder a data set: what was run, the
      columns with their units, how to read the tables and how to make them again.
      """,
      examples: [
        "attnlab report results/quickstart",
        "attnlab report results/published/quickstart --out quickstart.html",
        "attnlab report results/published/mqar-window results/published/passkey-length --out recall.html",
      ]))

  @Argument(help: "Folders that attnlab run or train wrote.")
  var folders: [String]

  @Option(help: "The page. Default: report.html in the folder; of several folders it must be named.")
  var out: String?

  @Flag(help: "Print JSON: the page's path.")
  var json = false

  func files() throws -> CommandFiles {
    if folders.count > 1, out == nil {
      throw UsageError("--out: name the page of \(folders.count) folders, such as --out report.html")
    }
    var files = CommandFiles()
    for folder in folders { Installed.kinds.read(in: folder).forEach { files.read($0) } }
    if let out { files.write(out, "--out") } else { files.write([Report.file, Report.card], in: folders[0]) }
    return files
  }

  func run() async throws {
    let report = try Report(folders: folders, kinds: Installed.kinds, variants: Installed.catalog)
    let (path, warning) = try await report.write(to: out)
    if out == nil { try report.describe() }
    if let warning { Terminal.note("warning: \(warning)") }
    print(json ? JSONValue.object(["report": .string(path)]).pretty : path)
  }
}
