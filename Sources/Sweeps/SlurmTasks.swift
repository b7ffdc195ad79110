import Basics

/// The tasks of a job that have not ended, as Slurm tells it.
struct SlurmTasks: Equatable, Sendable {
  /// How many run.
  let running: Int
  /// How many wait, for whatever reason.
  let waiting: Int
  /// Why the first of those waits.
  let reason: String

  /// Reads what `squeue -h -r -o "%T %r"` prints.
  init(_ printed: String) {
    let lines = printed.split(whereSeparator: \.isNewline).map { $0.split(separator: " ", maxSplits: 1) }
    let waits = lines.filter { $0.first == "PENDING" || $0.first == "SUSPENDED" }
    (running, waiting) = (lines.count - waits.count, waits.count)
    reason = waits.first.flatMap { $0.count > 1 ? String($0[1]).trimmed : nil } ?? ""
  }

  /// `3 tasks run, 1 waits (Priority)`.
  var text: String {
    let runs = "\(counted(running, "task")) \(running == 1 ? "runs" : "run")"
    guard waiting > 0 else { return runs }
    return runs + ", \(waiting) \(waiting == 1 ? "waits" : "wait")" + (reason.isEmpty ? "" : " (\(reason))")
  }
}

extension SlurmJob {
  /// The tasks that have not ended; `nil`: all have, or Slurm has forgotten the job.
  ///
  /// A scheduler that does not answer is asked again for a minute: it may be busy, or about to come back.
  /// - Throws: `UsageError` with what squeue says in the end.
  func tasks() async throws(UsageError) -> SlurmTasks? {
    var attempts = 0
    while true {
      do throws(UsageError) {
        let printed = try await Self.command("squeue", ["-h", "-r", "-j", name, "-o", "%T %r"])
        return printed.isEmpty ? nil : SlurmTasks(printed)
      } catch {
        if error.description.contains("Invalid job id") { return nil }
        attempts += 1
        guard attempts < 12, !error.description.contains("could not be run") else { throw error }
        try? await Task.sleep(for: .seconds(5))
      }
    }
  }
}
