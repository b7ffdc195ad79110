import Basics
import Foundation
import Processes
import Subprocess

/// A job of Slurm, or a task of an array of jobs.
public struct SlurmJob: Hashable, Sendable {
  /// As Slurm's commands name it: `123`, or `123_4` of an array.
  public let name: String

  /// The job that the environment of a process names; `nil`: none.
  public static func current(_ variables: [String: String]) -> SlurmJob? {
    func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let array = value("SLURM_ARRAY_JOB_ID"), let task = value("SLURM_ARRAY_TASK_ID") {
      return SlurmJob(name: "\(array)_\(task)")
    }
    return value("SLURM_JOB_ID").map { SlurmJob(name: $0) }
  }

  /// Puts the job back into the queue, which ends it where it runs.
  /// - Throws: `UsageError` with what scontrol says.
  public func requeue() async throws(UsageError) {
    _ = try await Self.command("scontrol", ["requeue", name])
  }

  /// What a command of Slurm prints.
  /// - Throws: `UsageError` with its first line of complaint.
  static func command(_ program: String, _ arguments: [String]) async throws(UsageError) -> String {
    let result: ChildProcess.Outcome<Bool>
    do {
      result = try await ChildProcess.run(.name(program), arguments)
    } catch {
      throw UsageError(
        "\(program) could not be run: \(ChildProcess.reason(error)); it takes a machine with Slurm "
          + "(attnlab slurm without --submit prints the script)")
    }
    guard result.status == .exited(0) else {
      let line = result.errors.split(whereSeparator: \.isNewline).first.map(String.init) ?? "\(result.status)"
      throw UsageError("\(program) \(shown(arguments.first ?? "", limit: 80)): \(shown(line, limit: 400))")
    }
    return result.output.trimmed
  }
}
