import Basics
import Foundation
import Presets
import Processes
import Records

/// A preset as an array of jobs that somebody waits for: what is missing is submitted, how far it is is told, and the parts
/// are put together in the end.
///
/// The jobs do not need whoever waits. When that ends, by Ctrl-C or with the machine, they go on; the same command finds their
/// number in the folder and waits again, or submits what was left.
public struct SlurmSweep: Sendable {
  /// The jobs.
  public let script: SlurmScript
  /// The numbers of the cells that are asked for.
  private let asked: Set<Int>
  /// Whether cells that failed are run again.
  private let retries: Bool
  private let kinds: ExperimentCatalog

  /// Describes a sweep.
  /// - Parameters:
  ///   - script: the jobs.
  ///   - selection: the cells that are asked for.
  ///   - retries: whether cells that failed are run again.
  ///   - kinds: the kinds of experiment that exist.
  package init(
    _ script: SlurmScript, of selection: PresetSelection, retries: Bool, kinds: ExperimentCatalog
  ) {
    (self.script, self.retries, self.kinds) = (script, retries, kinds)
    asked = selection.asked
  }

  /// The file that has the number of the array, so that it is found again.
  private var jobFile: String { script.logs + "/job" }

  /// Whether a task has left anything: in a part's folder, or, where there is one task, in that of the results.
  private var hasBegun: Bool {
    get throws(UsageError) {
      if !SweepFolder.parts(of: script.folder).isEmpty { return true }
      guard script.tasks == 1 else { return false }
      return try SweepFolder(script.folder).isWhole
    }
  }

  /// The array that was submitted last and has not ended; `nil`: there is none.
  /// - Throws: `UsageError` when Slurm cannot be asked.
  package func present() async throws(UsageError) -> SlurmJob? {
    guard let text = try? InputFile.text(jobFile, atMost: 100).trimmed, !text.isEmpty else { return nil }
    let job = SlurmJob(name: text)
    return try await job.tasks() == nil ? nil : job
  }

  /// Submits what is missing, or finds the array that was submitted before; waits for it; merges.
  /// - Parameters:
  ///   - interruption: ends the waiting, not the jobs.
  ///   - note: told a line that is worth keeping.
  ///   - progress: told a line that the next one replaces.
  /// - Returns: what was merged, which may lack cells: `check` says so.
  /// - Throws: `Interrupted`; `UsageError` with what Slurm says, or when nothing came of it.
  public func run(
    _ interruption: Interruption, note: (String) -> Void, progress: (String) -> Void
  ) async throws -> Merge {
    if let job = try await job(note) {
      try await wait(for: job, interruption, note, progress)
    }
    guard try hasBegun else {
      throw UsageError(
        "\(script.folder): the jobs have ended and left no results; \(script.logs) has what they said")
    }
    return try Merge([script.folder], into: script.folder, kinds: kinds)
  }

  /// Refuses a sweep that is not whole.
  /// - Parameter status: what became of its cells.
  /// - Throws: `CheckFailure` that names the cells which are missing, or failed.
  public func check(_ status: SweepStatus) throws(CheckFailure) {
    let missing = cells(in: [.missing], of: status)
    guard missing.isEmpty else {
      throw CheckFailure(
        "\(counted(missing.count, "cell")) \(missing.count == 1 ? "is" : "are") missing, of the tasks "
          + "\(TaskList.text(tasks(of: missing))); the same command submits these again, \(script.logs) has what they said"
      )
    }
    try status.checkFailures()
  }

  private func cells(in states: Set<SweepStatus.State>, of status: SweepStatus) -> [Int] {
    status.cells.filter { states.contains($0.state) && asked.contains($0.number) }.map(\.number)
  }

  private func tasks(of cells: [Int]) -> [Int] { Set(cells.map { ($0 - 1) % script.tasks + 1 }).sorted() }

  /// The array to wait for; `nil`: everything is there.
  private func job(_ note: (String) -> Void) async throws(UsageError) -> SlurmJob? {
    if let job = try await present() {
      note("job \(job.name) was submitted before and has not ended: waiting for it")
      return job
    }
    guard let tasks = try missingTasks() else {
      note("everything in \(script.folder) is there already")
      return nil
    }
    let some = script.only(tasks), number = try await some.submitArray()
    do throws(FileFailure) { try AtomicFile.write(Array(number.utf8), to: jobFile) } catch {
      throw UsageError("job \(number) is submitted, but \(error); scancel \(number) ends it")
    }
    note("submitted job \(number): \(some.array) of \(script.tasks) tasks, \(asked.count) cells")
    return SlurmJob(name: number)
  }

  /// The tasks whose cells are not there yet; `nil`: none.
  private func missingTasks() throws(UsageError) -> [Int]? {
    guard try hasBegun else { return tasks(of: asked.sorted()) }
    let status = try SweepStatus(of: script.folder, kinds: kinds)
    // One part is not cut, and says nothing of how it would be.
    let isWhole = script.tasks == 1 && SweepFolder.parts(of: script.folder).isEmpty
    guard isWhole || status.shards == script.tasks else {
      throw UsageError(
        "\(script.folder): its cells were cut into \(status.shards) tasks, now it would be \(script.tasks): give "
          + "--cells-per-task as before, or \(RunFolder.remedy)")
    }
    let missing = cells(in: retries ? [.missing, .failed] : [.missing], of: status)
    return missing.isEmpty ? nil : tasks(of: missing)
  }

  /// Waits until no task is left. Slurm is asked often at first, later every ten seconds: the scheduler has others to serve.
  private func wait(
    for job: SlurmJob, _ interruption: Interruption, _ note: (String) -> Void, _ progress: (String) -> Void
  ) async throws {
    var pause = 0.3
    while let tasks = try await job.tasks() {
      progress("job \(job.name): \(tasks.text)\(cellsSoFar)")
      var left = pause
      while left > 0 {
        guard !interruption.isRequested else {
          note(
            "job \(job.name) goes on: attnlab status \(script.folder) shows how far it is, scancel \(job.name) ends it, "
              + "and the same command waits for it again or submits what is left")
          throw Interrupted()
        }
        try await Task.sleep(for: .seconds(min(left, 0.2)))
        left -= 0.2
      }
      pause = min(10, pause * 1.3)
    }
  }

  /// How far the cells are; nothing before the first task has begun.
  private var cellsSoFar: String {
    guard let status = try? SweepStatus(of: script.folder, kinds: kinds) else { return "" }
    let failed = status.count(.failed)
    return "; \(status.count(.done)) of \(asked.count) cells done" + (failed > 0 ? ", \(failed) failed" : "")
  }
}
