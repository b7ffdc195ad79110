import ArgumentParser
import Commands
import Measuring
import Pages
import Processes

/// `attnlab cell JSON`: what a run starts for every cell, in a process of its own. It prints the row, whatever became of
/// it.
struct CellCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "cell", abstract: "Measure the cell that a run sends, and print its row.",
    shouldDisplay: false)

  @Argument(help: "The cell and the means to measure it, as JSON.")
  var request: String

  func files() -> CommandFiles { .none }

  func run() throws {
    ParentWatch.begin()
    let request = try CellRequest(json: request)
    if let row = try Blocking.row(of: request) { print(row.json.compact) }
  }
}
