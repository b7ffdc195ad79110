import ArgumentParser
import Basics
import Presets
import Processes
import Records

/// `attnlab report`: a run as one page.
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
      ]))

  @Argument(help: "A folder that attnlab run wrote.")
  var folder: String

  @Option(help: "The page. Default: report.html in the folder.")
  var out: String?

  @Flag(help: "Print JSON: the page's path.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    AttentionLab.kinds.read(in: folder).forEach { files.read($0) }
    if let out { files.write(out, "--out") } else { files.write(folder + "/report.html") }
    return files
  }

  func run() async throws {
    let (path, warning) = try await Report(folder: folder, kinds: AttentionLab.kinds).write(to: out)
    if let warning { Terminal.note("warning: \(warning)") }
    print(json ? JSONValue.object(["report": .string(path)]).pretty : path)
  }
}
