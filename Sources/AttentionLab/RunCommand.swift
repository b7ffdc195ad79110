import ArgumentParser
import AttentionCore
import Basics
import Commands
import Foundation
import Pages
import Presets
import Processes
import Records
import Sweeps

/// `attnlab run`: a preset, from the first cell or from where it was stopped.
struct RunCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a preset; the same command continues an interrupted run.",
    discussion: HelpText.page(
      """
      Rows go to results/<preset>/measurements.csv as they finish, those of trainings to runs.csv and curves.csv. A
      finished run started again shows its results. --executor slurm submits an array of jobs, waits for it and merges;
      Ctrl-C ends the waiting, not the jobs, and the same command waits again or submits what is left.
      """,
      examples: [
        "attnlab run quickstart",
        "attnlab run quickstart --set 'n=[256,1024]' --set input.text=notes.txt --out results/mine",
        "attnlab run variants-text --set compute=1e12 --set 'seed=[1,2,3]'",
        "attnlab run scaling-time-memory --only full,lsh --memory-limit 8GiB --dry-run",
        "attnlab run scaling-time-memory --shard 3/12",
        "attnlab run scaling-time-memory --executor slurm --partition short --time 02:00:00 --cells-per-task 20",
      ]))

  @OptionGroup var asked: PresetOptions

  @Option(help: "Threads of every cell.")
  var threads: Int?

  @Option(
    help:
      "The most memory that a cell may use, such as 8GiB. Default: the preset's, else 3/4 of the machine's.")
  var memoryLimit: String?

  @Option(help: "The most time that a cell may use, such as 60s. Default: the preset's, else none.")
  var timeLimit: String?

  @Option(
    help:
      "Only part i of n of the cells, into shards/i-of-n of the folder. Default: that of a Slurm array's task."
  )
  var shard: String?

  @Option(help: "Where cells are run: in processes of this machine, or as an array of jobs of Slurm.")
  var executor = ExecutorName.local

  @OptionGroup(title: "With --executor slurm") var jobs: SlurmOptions

  @Flag(
    help:
      "Work on the node's own disk (SLURM_TMPDIR, else TMPDIR); results come back at the end or by a signal.")
  var scratch = false

  @Flag(help: "In a Slurm job: put it back into the queue when the scheduler's warning (USR1, USR2) ends it.")
  var requeue = false

  @Flag(help: "Start over; the old folder is kept under another name.")
  var fresh = false

  @Flag(help: "Run again what did not end ok; what a limit ended is run again anyway under a larger one.")
  var retry = false

  @Flag(help: "Print the cells with predicted time and memory, and stop.")
  var dryRun = false

  @Flag(help: "Show no progress; warnings and errors are shown.")
  var quiet = false

  @Flag(help: "Print JSON.")
  var json = false

  func files() throws -> CommandFiles {
    guard !dryRun else { return .none }
    let preset = try loaded()
    var files = CommandFiles()
    files.read(preset.file)
    for path in try preset.inputPaths() { files.read(path) }
    files.write(
      Installed.kinds.resultFiles + [Report.file, Report.card],
      in: try part().path(in: asked.folder(of: preset)))
    return files
  }

  /// The part that is asked for, by the flag or by the array whose task this is.
  func part() throws(UsageError) -> Shard {
    if let shard {
      guard let part = Shard(shard) else {
        throw UsageError("--shard \(shown(shard)): it takes \(Shard.allowed)")
      }
      return part
    }
    return try Shard.ofArrayTask(ProcessInfo.processInfo.environment) ?? .whole
  }

  func run() async throws {
    if executor == .slurm, !dryRun { return try await runJobs() }
    if executor == .local, let flag = jobs.given {
      throw UsageError("\(flag): it goes with --executor slurm")
    }
    let (preset, finished) = try await perform()
    if !finished.isEmpty {
      show(finished.map(\.text).joined(separator: "\n"), or: finished.json, if: json)
    }
    let part = try part()
    if !part.isWhole, !dryRun { try tell(part, asked.folder(of: preset)) }
  }

  /// What became of a part. Its cells went on when one failed; the exit code says so in the end.
  private func tell(_ part: Shard, _ folder: String) throws {
    let path = part.path(in: folder), status = try SweepStatus(of: path, kinds: Installed.kinds)
    print(json ? status.json(path).pretty : "part \(part) in \(path): \(status.ofTask)")
    try status.checkFailures()
  }

  /// Runs every kind of experiment that the preset has; nothing is finished by a dry run, which tells itself, nor by a part,
  /// which is one of several.
  func perform() async throws -> (preset: Preset, finished: [any FinishedRun]) {
    let catalog = Installed.catalog
    let preset = try loaded(), part = try part()
    let selection = try asked.selection(of: preset, part)
    if shard == nil, !part.isWhole {
      Terminal.note("part \(part) by SLURM_ARRAY_TASK_ID: \(selection.count) of \(selection.total) cells")
    }
    if dryRun {
      let forecasts = try selection.kinds.map { try $0.forecast(catalog, memoryLimit: preset.memoryLimit) }
      show(forecasts.map(\.text).joined(separator: "\n\n"), or: forecasts.json, if: json)
      return (preset, [])
    }
    let folder = part.path(in: asked.folder(of: preset))
    if fresh, let kept = try RunFolder.setAside(folder, tables: preset.kinds.tableNames) {
      Terminal.note("kept the earlier results as \(kept)")
    }
    if !LabVersion.isOptimized {
      Terminal.note("warning: a debug build; times mean nothing (swift build -c release)")
    }
    if quiet { Terminal.silenceProgress() }
    let program = try Installed.program()
    Interruption.ofProcess.answersBetweenSteps()
    let place = try RunPlace(folder, onScratch: scratch)
    let isPart = shard != nil || !part.isWhole
    let setting = RunSetting(
      preset, catalog: catalog, program: program, retries: retry, shard: isPart ? part : nil,
      formerIDs: try selection.record(in: place.folder), interruption: .ofProcess,
      note: { Terminal.note($0) }, progress: { Terminal.progress($0) },
      ended: { line, isWell in
        // A terminal has the bar for what went well.
        if !isWell || !Terminal.isInteractive { Terminal.report(line) }
      })
    let runs = try await place.use(requeues: requeue, .ofProcess, note: { Terminal.note($0) }) { held in
      var runs: [any FinishedRows] = []
      for cells in selection.kinds { runs.append(try await cells.run(in: held, setting)) }
      return runs
    }
    // All rows are written; what follows can be made again.
    try Interruption.ofProcess.endsAtOnce()
    Terminal.clearProgress()
    for run in runs { run.notes(folder).forEach(Terminal.note) }
    guard part.isWhole else { return (preset, []) }
    return (preset, try await Self.finished(runs, preset, folder))
  }

  /// What rows say, and their report with its pictures, which can be made again.
  static func finished(
    _ runs: [any FinishedRows], _ preset: Preset, _ folder: String
  ) async throws -> [any FinishedRun] {
    let made = try await Report(
      folders: [folder], kinds: preset.kinds, variants: Installed.catalog
    ).writeAll {
      Terminal.note("warning: \($0)")
    }
    return try runs.map { try $0.finished(folder, pictures: made.pictures, report: made.page) }
  }

  func loaded() throws -> Preset {
    var preset = try asked.load(threads.map { ["threads=\($0)"] } ?? [])
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
}
