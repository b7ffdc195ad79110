import ArgumentParser
import Basics
import Commands
import Foundation
import Presets
import Processes
import Records
import Sweeps

/// Where the cells of a run are run.
enum ExecutorName: String, CaseIterable, ExpressibleByArgument {
  /// In processes of this machine, one after another.
  case local
  /// As an array of jobs of Slurm.
  case slurm
}

extension RunCommand {
  /// Runs the preset as an array of jobs, waits, merges, and says what the rows say.
  func runJobs() async throws {
    guard try part().isWhole, shard == nil else {
      throw UsageError(
        "--executor slurm: the array has the parts; it goes neither with --shard nor in a task of an array")
    }
    try asked.refusePipe()
    let preset = try loaded(), selection = try asked.selection(of: preset, .whole)
    let folder = asked.folder(of: preset)
    let script = try jobs.script(asked, preset, cells: selection.total, array: nil, flags: flagsOfTasks)
    let sweep = SlurmSweep(script, of: selection, retries: retry, kinds: Installed.kinds)
    try await startOver(folder, sweep)
    Interruption.ofProcess.answersBetweenSteps()
    let merge = try await sweep.run(
      .ofProcess, note: { Terminal.note($0) }, progress: { Terminal.progress($0) })
    try Interruption.ofProcess.endsAtOnce()
    Terminal.clearProgress()
    merge.notes.forEach { Terminal.note("warning: \($0)") }
    Terminal.note(merge.text)
    let rows = try selection.kinds.compactMap { try $0.written(in: folder) }
    let finished = try await Self.finished(rows, preset, folder)
    if !finished.isEmpty { show(finished.map(\.text).joined(separator: "\n"), or: finished.json, if: json) }
    try sweep.check(merge.status)
  }

  /// Keeps earlier results under another name, unless jobs are still writing there.
  private func startOver(_ folder: String, _ sweep: SlurmSweep) async throws {
    guard fresh else { return }
    if let job = try await sweep.present() {
      throw UsageError("\(folder): job \(job.name) is still writing there; scancel \(job.name) ends it")
    }
    let tables = Installed.kinds.tableNames + [Shard.folder]
    if let kept = try RunFolder.setAside(folder, tables: tables) {
      Terminal.note("kept the earlier results as \(kept)")
    }
  }

  /// What every task is told beside the preset and what is changed in it.
  private var flagsOfTasks: [String] {
    let options: [(String, String?)] = [
      ("--threads", threads.map { "\($0)" }), ("--memory-limit", memoryLimit), ("--time-limit", timeLimit),
    ]
    return options.flatMap { name, value in value.map { [name, $0] } ?? [] }
      + (scratch ? ["--scratch"] : []) + (retry ? ["--retry"] : [])
  }
}
