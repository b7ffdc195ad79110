import ArgumentParser
import Basics
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
      The page needs no network and no other file.
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
    for folder in folders { AttentionLab.kinds.read(in: folder).forEach { files.read($0) } }
    if let out { files.write(out, "--out") } else { files.write(folders[0] + "/report.html") }
    return files
  }

  func run() async throws {
    let (path, warning) = try await Report(folders: folders, kinds: AttentionLab.kinds).write(to: out)
    if let warning { Terminal.note("warning: \(warning)") }
    print(json ? JSONValue.object(["report": .string(path)]).pretty : path)
  }
}
