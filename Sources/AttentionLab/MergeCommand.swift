import ArgumentParser
import Basics
import Commands
import Pages
import Presets
import Processes
import Sweeps

/// `attnlab merge`: the parts of a preset, put together.
struct MergeCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Put the parts of a preset together: every cell once, with where it was made.",
    discussion: HelpText.page(
      """
      Reads the tables, curves and records of parts, those of tasks that are still running too, and changes none of them.
      Merging again changes nothing; parts that come later are added. Rows that contradict each other are refused.
      """,
      examples: [
        "attnlab merge results/sweep",
        "attnlab merge results/sweep/shards/1-of-2 results/sweep/shards/2-of-2 --out results/both",
        "attnlab merge results/sweep --complete --json",
      ]))

  @Argument(help: "Folders that attnlab run wrote, or such that hold shards/ with parts.")
  var folder: [String]

  @Option(help: "Where the results go. Default: the folder, if it is one that holds parts.")
  var out: String?

  @Flag(help: "Exit with 1 when cells are missing or failed; what there is is merged anyway.")
  var complete = false

  @Flag(help: "Print JSON.")
  var json = false

  private func target() throws(UsageError) -> String {
    if let out { return out }
    guard folder.count == 1 else {
      throw UsageError("--out is missing: it names the folder for the results of several")
    }
    return folder[0]
  }

  func files() throws -> CommandFiles {
    var files = CommandFiles()
    let target = try target()
    let found = Merge.files(folder, into: target, kinds: Installed.kinds)
    found.read.forEach { files.read($0) }
    found.written.forEach { files.write($0, out == nil ? "" : "--out") }
    return files
  }

  func run() throws {
    let merge = try Merge(folder, into: target(), kinds: Installed.kinds)
    merge.notes.forEach { Terminal.note("warning: \($0)") }
    show(merge.text, or: merge.json, if: json)
    guard complete else { return }
    try merge.status.checkMissing()
    try merge.status.checkFailures()
  }
}
