import ArgumentParser
import Basics
import Commands
import Pages
import Presets
import Sweeps

/// `attnlab status`: how far a preset is.
struct StatusCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show which cells of a preset are done, failed, running or missing.",
    discussion: HelpText.page(
      """
      The folders tell; no scheduler is asked. What is missing stands as sbatch takes it, --array=3,7-9.
      """,
      examples: ["attnlab status results/sweep", "attnlab status results/sweep --json"]))

  @Argument(help: "Folders that attnlab run wrote, or such that hold shards/ with parts.")
  var folder: [String]

  @Flag(help: "Print JSON: one object, or of several folders a list.")
  var json = false

  func files() -> CommandFiles { .none }

  func run() throws {
    let found = try folder.map { ($0, try SweepStatus(of: $0, kinds: Installed.kinds)) }
    if json {
      let objects = found.map { $0.1.json($0.0) }
      return print((objects.count == 1 ? objects[0] : .array(objects)).pretty)
    }
    let texts = found.map { (found.count > 1 ? "\($0.0)\n" : "") + $0.1.text }
    show(texts.joined(separator: "\n\n"))
  }
}
