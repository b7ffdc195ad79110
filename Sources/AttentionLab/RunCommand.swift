import ArgumentParser
import AttentionCore
import Basics
import Foundation
import Presets
import Processes
import Records

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
    for path in try preset.inputPaths() { files.read(path) }
    files.write(AttentionLab.kinds.resultFiles + ["report.html"], in: folder(of: preset))
    return files
  }

  private func folder(of preset: Preset) -> String { out ?? "results/\(preset.name)" }

  func run() async throws {
    for finished in try await perform().finished { print(json ? finished.json.pretty : finished.text) }
  }

  /// Runs every kind of experiment that the preset has; nothing is finished by a dry run, which tells itself.
  func perform() async throws -> (preset: Preset, finished: [any FinishedRun]) {
    let catalog = AttentionLab.catalog
    let preset = try loaded(catalog)
    let selected = try preset.kinds.types.compactMap { try select($0, of: preset, catalog) }
    if let only, selected.isEmpty {
      throw UsageError("--only \(shown(only)): nothing in the preset has these variants alone")
    }
    if dryRun {
      for selection in selected {
        let forecast = try selection.forecast(catalog, memoryLimit: preset.memoryLimit)
        print(json ? forecast.json.pretty : forecast.text)
      }
      return (preset, [])
    }
    let folder = folder(of: preset)
    if fresh, let kept = try RunFolder.setAside(folder, tables: preset.kinds.tableNames) {
      Terminal.note("kept the earlier results as \(kept)")
    }
    if !LabVersion.isOptimized {
      Terminal.note("warning: a debug build; times mean nothing (swift build -c release)")
    }
    guard let program = Bundle.main.executablePath else {
      throw UsageError("the program's own path is not known")
    }
    let setting = RunSetting(
      preset, catalog: catalog, program: program, retries: retry, interruption: .ofProcess,
      note: { Terminal.note($0) }, progress: { Terminal.progress($0) })
    Interruption.ofProcess.answersBetweenSteps()
    let held = try RunFolder(folder)
    var runs: [any FinishedRows] = []
    for selection in selected { runs.append(try await selection.run(in: held, setting)) }
    // All rows are written; what follows can be made again.
    try Interruption.ofProcess.endsAtOnce()
    Terminal.clearProgress()
    for run in runs { run.notes(folder).forEach(Terminal.note) }
    let report = try Report(folder: folder, kinds: preset.kinds)
    let (path, warning) = try await report.write()
    if let warning { Terminal.note("warning: \(warning)") }
    let pictures = warning == nil ? try await report.drawPictures() : []
    return (preset, try runs.map { try $0.finished(folder, pictures: pictures, report: path) })
  }

  private func loaded(_ catalog: Catalog) throws -> Preset {
    let flags = sets + (threads.map { ["threads=\($0)"] } ?? [])
    var preset = try Preset(
      file: PresetFinder.file(preset), sets: flags, catalog: catalog, kinds: AttentionLab.kinds)
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

  /// The cells of a kind that are asked for; `nil`: there are none.
  private func select<Kind: ExperimentKind>(
    _ kind: Kind.Type, of preset: Preset, _ catalog: Catalog
  ) throws -> (any SelectedCells)? {
    let cells = try preset.cells(of: kind)
    guard let wanted = try wanted(catalog), !cells.isEmpty else {
      return cells.isEmpty ? nil : Selection(kind: kind, cells: cells)
    }
    let variants = try cells.map { try kind.variants(of: $0, in: catalog) }
    try check(wanted, among: variants.reduce(into: []) { $0.formUnion($1) })
    let kept = zip(cells, variants).filter { $1.isSubset(of: wanted) }.map(\.0)
    return kept.isEmpty ? nil : Selection(kind: kind, cells: kept)
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
}
