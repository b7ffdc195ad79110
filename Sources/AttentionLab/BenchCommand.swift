import ArgumentParser
import Attention
import Basics
import Laboratory
import Tensors

/// `attnlab bench`: the performance preset, and every figure beside the limit of this machine.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Run the performance preset: fractions of measured peak and bandwidth.",
    discussion: """
      A target that is missed is said, and is no error: what a machine reaches is a finding.

      Examples:
        attnlab bench
        attnlab bench --fresh --only full
        attnlab bench --json
      """)

  @Option(help: "The folder of the results. Default: results/performance.")
  var out: String?

  @Option(help: "Only these variants, separated by commas.")
  var only: String?

  @Flag(help: "Start over; the old folder is kept under another name.")
  var fresh = false

  @Flag(help: "Print JSON.")
  var json = false

  func run() async throws {
    let folder = out ?? "results/performance"
    var arguments = ["performance", "--out", folder]
    if let only { arguments += ["--only", only] }
    if fresh { arguments.append("--fresh") }
    // Before and after: what two cores read together depends on where their buffers lie.
    let before = bandwidth()
    guard let summary = try await RunCommand.parse(arguments).perform() else { return }
    let table = BenchTable(
      rows: summary.outcome.rows,
      bandwidth: before.merging(bandwidth(), uniquingKeysWith: max))
    if json {
      print(
        JSONValue.object([
          "folder": .string(summary.folder), "report": .string(summary.report),
          "bandwidth_gb_per_s": .object(
            table.bandwidth.sorted { $0.key < $1.key }.map {
              .init(key: "\($0.key)", value: .double($0.value))
            }),
          "rows": table.json,
        ]).pretty)
    } else {
      print(summary.text + "\n\n" + table.text)
    }
  }

  /// Bytes a second / 10⁹ by threads, where there is room to measure it.
  private func bandwidth() -> [Int: Double] {
    let found = Set([1, Parallel.processorCount]).compactMap { threads in
      (try? MachineLimits.bandwidth(threads: threads, seconds: 0.25)).map { (threads, $0 / 1e9) }
    }
    return Dictionary(uniqueKeysWithValues: found)
  }
}
