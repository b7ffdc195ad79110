import ArgumentParser
import Attention
import Basics
import Commands
import Measuring
import Pages
import Presets
import Processor
import Records
import Tensors
import Trainings

/// `attnlab bench`: the performance preset, and every figure beside the limit of this machine.
struct BenchCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Run the performance preset: fractions of measured peak and bandwidth.",
    discussion: HelpText.page(
      """
      A target that is missed is said, and is no error: what a machine reaches is a finding. Decoding is set beside the rate
      of reading as many bytes as it reads: on a machine with a large cache both may come from there, which the table says.
      Training steps follow below: warm, as fractions of the peak. --only keeps those whose layers have these variants alone.

      Passes beside which other programs were at work, on this machine or on its host, are repeated for some seconds: multiply-adds on
      registers stand before and after each (the preset's quiet). Rows for which that was not enough are counted below the table.

      --tune measures what is chosen by the processor instead (attnlab doctor lists it): sizes of blocks, heights of tiles, when
      threads share work, bfloat16's road. A choice changes only when another value is faster by more than the spread; what is
      taken is kept in ~/.config/attnlab/processor.json, or under XDG_CONFIG_HOME, and used from then on. Close other programs.
      """,
      examples: [
        "attnlab bench",
        "attnlab bench --fresh --only full",
        "attnlab bench --json",
        "attnlab bench --tune --dry-run",
      ]))

  @Option(help: "The folder of the results. Default: results/performance.")
  var out: String?

  @Option(help: "Only these variants, separated by commas.")
  var only: String?

  @Flag(help: "Start over; the old folder is kept under another name.")
  var fresh = false

  @Flag(name: .customLong("dry-run"), help: "Show what would be measured, and how long it may take.")
  var dryRun = false

  @Flag(help: "Measure what is chosen by the processor, and keep what is faster; about half a minute.")
  var tune = false

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    if tune { return files }
    files.write(Installed.kinds.resultFiles + ["report.html"], in: folder)
    return files
  }

  private var folder: String { out ?? "results/performance" }

  func run() async throws {
    if tune { return try runTuning() }
    var arguments = ["performance", "--out", folder, "--shard", "1/1"]
    if let only { arguments += ["--only", only] }
    if fresh { arguments.append("--fresh") }
    if dryRun {
      _ = try await RunCommand.parse(arguments + ["--dry-run"] + (json ? ["--json"] : [])).perform()
      return
    }
    // Before and after: what two cores read together depends on where their buffers lie.
    let before = bandwidth()
    let (preset, finished) = try await RunCommand.parse(arguments).perform()
    guard let first = finished.first else { return }
    let measured = results(of: MeasurementExperiment.self, in: finished)
    let rows = measured?.outcome.rows ?? []
    let table = BenchTable(
      rows: rows, bandwidth: before.merging(bandwidth(), uniquingKeysWith: max), reading: reading(rows),
      targets: preset.targets)
    let steps = try results(of: TrainingExperiment.self, in: finished).map { trained in
      StepsTable(
        rows: trained.outcome.rows,
        timings: try TrainingExperiment.timings(of: trained.outcome.rows, in: trained.folder),
        jobs: preset.trainings, targets: preset.trainingTargets)
    }
    let sustained = SustainedRate.measure()
    if json { return print(answer(first.folder, first.report, table, steps, sustained).pretty) }
    let tables = [rows.isEmpty ? nil : table.text, steps?.text].compactMap(\.self)
    let lines = [measured?.text ?? "report: \(first.report)"] + tables + [Self.text(sustained)]
    show(lines.joined(separator: "\n\n"))
  }

  /// How much of the distance to the peak is the machine's.
  private static func text(_ sustained: SustainedRate) -> String {
    func billions(_ rate: Double?) -> String { Quantity.significant((rate ?? 0) / 1e9, 3) }
    return "multiply-adds alone on one thread, \(sustained.rates.count) windows of 50 ms: "
      + "median \(billions(sustained.median)) GFLOP/s, \(billions(sustained.rates.min())) … "
      + "\(billions(sustained.rates.max())). The peak is the best of shorter windows: no pass of this length is nearer to it."
  }

  private func results<Kind: ExperimentKind>(
    of kind: Kind.Type, in finished: [any FinishedRun]
  ) -> KindResults<Kind>? {
    finished.lazy.compactMap { $0 as? KindResults<Kind> }.first
  }

  private func answer(
    _ folder: String, _ report: String, _ table: BenchTable, _ steps: StepsTable?,
    _ sustained: SustainedRate
  ) -> JSONValue {
    .object([
      "folder": .string(folder), "report": .string(report),
      "bandwidth_gb_per_s": .object(
        table.bandwidth.sorted { $0.key < $1.key }.map {
          .init(key: "\($0.key)", value: .double($0.value))
        }),
      "reading": .array(
        table.reading.sorted { ($0.key.bytes, $0.key.threads) < ($1.key.bytes, $1.key.threads) }.map {
          .object([
            "threads": .int($0.key.threads), "bytes": .int($0.key.bytes), "gb_per_s": .double($0.value),
          ])
        }),
      "last_level_cache_bytes": .int(LastLevelCache.bytes), "rows": table.json,
      "training_steps": steps?.json ?? .array([]),
      "sustained_gflops": .object([
        "median": .double(sustained.median / 1e9), "low": .number(sustained.rates.min().map { $0 / 1e9 }),
        "high": .number(sustained.rates.max().map { $0 / 1e9 }), "windows": .int(sustained.rates.count),
      ]),
    ])
  }

  /// The rate of reading what every decoding row reads, the best of three buffers: what two cores read together depends on
  /// where their buffers lie.
  private func reading(_ rows: [MeasurementRow]) -> [BenchTable.Reading: Double] {
    let needed = Set(rows.filter { $0.secondsMedian != nil }.compactMap { BenchTable.Reading($0) })
    let found = needed.compactMap { read in
      let rates = (0..<3).compactMap { _ in
        read.isState
          ? try? MachineLimits.rewriting(
            threads: read.threads, seconds: 0.15, bufferBytes: max(1 << 16, read.bytes / 2 / read.threads))
          : try? MachineLimits.bandwidth(
            threads: read.threads, seconds: 0.15, bufferBytes: max(1 << 16, read.bytes / read.threads))
      }
      return rates.max().map { (read, $0 / 1e9) }
    }
    return Dictionary(uniqueKeysWithValues: found)
  }

  /// Bytes a second / 10⁹ by threads, where there is room to measure it.
  private func bandwidth() -> [Int: Double] {
    let found = Set([1, Parallel.processorCount]).compactMap { threads in
      (try? MachineLimits.bandwidth(threads: threads, seconds: 0.25)).map { (threads, $0 / 1e9) }
    }
    return Dictionary(uniqueKeysWithValues: found)
  }
}
