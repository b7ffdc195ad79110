import Analysis
import ArgumentParser
import AttentionCore
import Basics
import Foundation
import Measuring
import Presets
import Processes
import Records
import Tensors
import Trainings

/// `attnlab run`: a preset, from the first cell or from where it was stopped.
struct RunCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a preset; the same command continues an interrupted run.",
    discussion: HelpText.page(
      """
      Rows go to results/<preset>/measurements.csv as they finish, those of trainings to runs.csv and curves.csv. A
      finished run started again shows its results.
      """,
      examples: [
        "attnlab run quickstart",
        "attnlab run quickstart --set 'n=[256,1024]' --set input.text=notes.txt --out results/mine",
        "attnlab run variants-text --set compute=1e12 --set 'seed=[1,2,3]'",
        "attnlab run scaling-time-memory --only full,lsh --memory-limit 8GiB --dry-run",
      ]))

  @Argument(help: "A preset's name in Experiments/, or the path of a YAML file.", completion: .presets)
  var preset: String

  @Option(help: "The folder of the results. Default: results/<preset>.")
  var out: String?

  @Option(name: .customLong("set"), help: "Change a field of the preset, path=value; may be repeated.")
  var sets: [String] = []

  @Option(help: "Only these variants, separated by commas.")
  var only: String?

  @Option(help: "Threads of every cell.")
  var threads: Int?

  @Option(
    help:
      "The most memory that a cell may use, such as 8GiB. Default: the preset's, else 3/4 of the machine's.")
  var memoryLimit: String?

  @Option(help: "The most time that a cell may use, such as 60s. Default: the preset's, else none.")
  var timeLimit: String?

  @Flag(help: "Start over; the old folder is kept under another name.")
  var fresh = false

  @Flag(help: "Run again what did not end ok; what a limit ended is run again anyway under a larger one.")
  var retry = false

  @Flag(help: "Print the cells with predicted time and memory, and stop.")
  var dryRun = false

  @Flag(help: "Print JSON.")
  var json = false

  func files() throws -> CommandFiles {
    guard !dryRun else { return .none }
    let preset = try loaded(AttentionLab.catalog)
    var files = CommandFiles()
    files.read(preset.file)
    for path in try preset.measuredPaths() + preset.trainedPaths { files.read(path) }
    files.write(RunFolder.resultFiles, in: folder(of: preset))
    return files
  }

  private func folder(of preset: Preset) -> String { out ?? "results/\(preset.name)" }

  func run() async throws {
    if let summary = try await perform() { print(json ? summary.json.pretty : summary.text) }
  }

  /// What a finished run has to say of its measurements.
  struct Summary {
    let folder: String, report: String
    let outcome: Runner.Outcome
    let comparison: Comparison
    /// What rows are to reach, by experiment.
    let targets: [String: [Target]]

    var text: String { comparison.text + "\n\nreport: \(report)" }
    var json: JSONValue {
      .object([
        "folder": .string(folder), "report": .string(report), "rows": .int(outcome.rows.count),
        "added": .int(outcome.added), "comparison": comparison.json,
      ])
    }
  }

  /// Runs; `nil` when there is nothing measured to tell of: a dry run, or trainings, which tell themselves.
  func perform() async throws -> Summary? {
    let catalog = AttentionLab.catalog
    let preset = try loaded(catalog)
    let cells = try selected(preset, catalog)
    let trainings = try selectedTrainings(preset, catalog, hasCells: !cells.isEmpty)
    if dryRun {
      if !trainings.isEmpty {
        let forecast = try TrainingForecast(trainings, catalog: catalog)
        print(json ? forecast.json.pretty : forecast.text)
      }
      if cells.isEmpty { return nil }
      let forecast = Forecast(cells, catalog: catalog, memoryLimit: preset.memoryLimit)
      print(json ? forecast.json.pretty : forecast.text)
      return nil
    }
    let folder = folder(of: preset)
    if fresh, let kept = try RunFolder.setAside(folder) {
      Terminal.note("kept the earlier results as \(kept)")
    }
    if !LabVersion.isOptimized {
      Terminal.note("warning: a debug build; times mean nothing (swift build -c release)")
    }
    if !trainings.isEmpty {
      Interruption.ofProcess.answersBetweenSteps()
      try await TrainingSummary.run(
        TrainingRunner(
          preset: preset, jobs: trainings, folder: RunFolder(folder), catalog: catalog, retries: retry),
        isJSON: json)
      if cells.isEmpty { return nil }
    }
    guard let program = Bundle.main.executablePath else {
      throw UsageError("the program's own path is not known")
    }
    let runner = Runner(
      preset: preset, cells: cells, folder: folder, program: program, retries: retry,
      interruption: .ofProcess,
      progress: { [names = CellNames(cells)] in Terminal.note(Self.line($0, names, $1, $2)) })
    Interruption.ofProcess.answersBetweenSteps()
    let outcome = try await runner.run()
    // All rows are written; what follows can be made again.
    try Interruption.ofProcess.endsAtOnce()
    if outcome.repaired > 0 {
      Terminal.note("removed a torn last line (\(outcome.repaired) bytes); its cell was measured again")
    }
    if outcome.replaced > 0 {
      Terminal.note("\(outcome.replaced) cells that had not ended ok were measured again")
    }
    if outcome.added == 0 {
      Terminal.note(
        "\(folder) is finished (\(outcome.kept) rows); these are its results, --fresh measures again")
    }
    return try await summary(of: outcome, folder, preset)
  }

  /// The comparison and the laws, and the path of the report.
  private func summary(
    of outcome: Runner.Outcome, _ folder: String, _ preset: Preset
  ) async throws -> Summary {
    let comparison = try Comparison(outcome.rows)
    let (path, warning) = try await Report(folder: folder).write()
    if let warning { Terminal.note("warning: \(warning)") }
    if let warning = Self.doubtOfPeak(outcome.rows) { Terminal.note("warning: \(warning)") }
    return Summary(
      folder: folder, report: path, outcome: outcome, comparison: comparison,
      targets: preset.targets)
  }

  /// No pass is faster than the machine: a peak that was passed was measured while other work ran.
  private static func doubtOfPeak(_ rows: [MeasurementRow]) -> String? {
    let shares = rows.compactMap(\.fractionOfPeak).filter { $0 > 1.05 }
    guard let most = shares.max() else { return nil }
    return
      "\(shares.count) rows are faster than the measured peak (up to \(Quantity.significant(100 * most, 3)) % of it):"
      + " other work kept the machine busy when it was measured; their fractions of peak mean nothing, --fresh starts over"
  }

  private func loaded(_ catalog: Catalog) throws -> Preset {
    let flags = sets + (threads.map { ["threads=\($0)"] } ?? [])
    var preset = try Preset(file: PresetFinder.file(preset), sets: flags, catalog: catalog, kinds: .standard)
    if let memoryLimit {
      guard let bytes = Quantity.bytes(memoryLimit) else {
        throw UsageError("--memory-limit \(shown(memoryLimit)): it takes \(Quantity.bytesAllowed)")
      }
      preset.memoryLimit = bytes
    }
    if let timeLimit {
      guard let seconds = Quantity.seconds(timeLimit) else {
        throw UsageError("--time-limit \(shown(timeLimit)): it takes \(Quantity.secondsAllowed)")
      }
      preset.timeLimit = seconds
    }
    return preset
  }

  private func selected(_ preset: Preset, _ catalog: Catalog) throws -> [Cell] {
    let cells = try preset.cells()
    guard let wanted = try wanted(catalog), !cells.isEmpty else { return cells }
    try check(wanted, among: Set(cells.map(\.variant)))
    return cells.filter { wanted.contains($0.variant) }
  }

  private func selectedTrainings(
    _ preset: Preset, _ catalog: Catalog, hasCells: Bool
  ) throws -> [TrainingJob] {
    let jobs = preset.trainings
    guard let wanted = try wanted(catalog), !jobs.isEmpty else { return jobs }
    let variants = try jobs.map { try $0.variants(catalog: catalog) }
    if !hasCells { try check(wanted, among: variants.reduce(into: []) { $0.formUnion($1) }) }
    return zip(jobs, variants).filter { $1.isSubset(of: wanted) }.map(\.0)
  }

  private func wanted(_ catalog: Catalog) throws -> Set<String>? {
    guard let only else { return nil }
    let ids = only.split(separator: ",").map { $0.trimmed }
    for id in ids { _ = try catalog.type(of: id) }
    return Set(ids)
  }

  private func check(_ wanted: Set<String>, among present: Set<String>) throws {
    guard let id = wanted.subtracting(present).min() else { return }
    throw UsageError(
      "--only \(shown(id)): the preset has no such variant; it has \(present.sorted().joined(separator: ", "))"
    )
  }

  /// A row as progress.
  static func line(_ row: MeasurementRow, _ names: CellNames, _ number: Int, _ count: Int) -> String {
    let width = "\(count)".count
    let counter = String(repeating: " ", count: width - "\(number)".count) + "\(number)/\(count)"
    let what = names[row]
    guard let seconds = row.secondsMedian else {
      return "[\(counter)] \(what): \(row["status"]): \(row.reason)"
    }
    let memory = row.memoryBytes.map { Quantity.describe(bytes: Double($0)) } ?? "–"
    let share = row.fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of peak" } ?? ""
    return "[\(counter)] \(what): \(Quantity.describe(seconds: seconds))\(share), \(memory)"
  }
}
