import Basics
import Foundation
import Presets

/// The jobs of Slurm that run a preset: an array, a task a part, and a job that puts the parts together once all tasks have
/// ended, however they ended.
///
/// The program takes the place of the shell (`exec`), so it gets the scheduler's warning itself (`--signal=B:USR1@90`).
/// Every task is told its part by number: variables of the array would tell another one where only some tasks are submitted
/// again.
public struct SlurmScript: Sendable {
  /// What a job asks of Slurm: words of sbatch without their hyphens, such as `partition=short`.
  public var options: [String]
  /// The program's file.
  public let program: String
  /// Words after `attnlab run`: the preset and what changes it.
  public let arguments: [String]
  /// The folder of the results.
  public let folder: String
  /// The name of the jobs.
  public let name: String
  /// Cells of the preset.
  public let cells: Int
  /// Parts, and tasks of the array.
  public let tasks: Int
  /// The tasks that are submitted, as `--array` takes them.
  public private(set) var array: String
  private let concurrent: Int?

  /// Describes the jobs.
  /// - Parameters:
  ///   - program: the program's path on the nodes.
  ///   - arguments: words after `attnlab run`.
  ///   - folder: where the results go.
  ///   - name: the name of the jobs.
  ///   - cells: cells of the preset.
  ///   - cellsPerTask: cells that a task runs one after another.
  ///   - array: the tasks, such as `3,7-9`; `nil`: all.
  ///   - concurrent: tasks that may run at once; `nil`: as many as Slurm lets.
  ///   - options: further options of `sbatch`, a line each.
  /// - Throws: `UsageError` for numbers that are not possible.
  public init(
    program: String, arguments: [String], folder: String, name: String, cells: Int, cellsPerTask: Int,
    array: String?, concurrent: Int?, options: [String]
  ) throws(UsageError) {
    guard cellsPerTask >= 1 else {
      throw UsageError("--cells-per-task \(cellsPerTask): it takes a whole number of at least 1")
    }
    let tasks = max(1, (cells + cellsPerTask - 1) / cellsPerTask)
    if let array {
      guard let numbers = TaskList.numbers(array), let first = numbers.first, let last = numbers.last,
        first >= 1, last <= tasks
      else {
        throw UsageError("--array \(shown(array)): it takes numbers from 1 to \(tasks), such as 3,7-9")
      }
    }
    if let concurrent, concurrent < 1 {
      throw UsageError("--concurrent \(concurrent): it takes a whole number of at least 1")
    }
    if let odd = options.first(where: { $0.contains(where: \.isNewline) || $0.hasSuffix("=") }) {
      throw UsageError("\(shown(odd)): a value for sbatch is one line of text")
    }
    (self.program, self.arguments, self.folder, self.name) = (program, arguments, folder, name)
    (self.cells, self.tasks, self.options) = (cells, tasks, options)
    (self.array, self.concurrent) = (Self.array(array ?? "1-\(tasks)", concurrent), concurrent)
  }

  private static func array(_ tasks: String, _ concurrent: Int?) -> String {
    tasks + (concurrent.map { "%\($0)" } ?? "")
  }

  /// The same jobs with some of the tasks.
  func only(_ tasks: [Int]) -> SlurmScript {
    var script = self
    script.array = Self.array(TaskList.text(tasks), concurrent)
    return script
  }

  /// The folder of what tasks print.
  public var logs: String { folder + "/logs" }

  /// The script of the array.
  public var text: String {
    let words = [program, "run"] + arguments + ["--out", folder, "--requeue"]
    return Self.script(
      ["job-name=\(name)", "array=\(array)"] + options + [
        "output=\(logs)/%A_%a.out", "open-mode=append", "requeue", "signal=B:USR1@90",
      ],
      """
      # \(cells) cells in \(tasks) parts. The same script goes on where tasks were stopped; --array=LIST submits some again.
      exec \(words.map(Self.quoted).joined(separator: " ")) --shard "${SLURM_ARRAY_TASK_ID}/\(tasks)"
      """)
  }

  /// The script of the job that puts the parts together. It needs neither the array's time nor its processors.
  public var mergeText: String {
    let kept = options.filter { option in
      ["partition=", "account=", "qos="].contains { option.hasPrefix($0) }
    }
    let words = [program, "merge", folder, "--complete"]
    return Self.script(
      ["job-name=\(name)-merge"] + kept + ["time=00:10:00", "output=\(logs)/merge-%j.out", "requeue"],
      "exec \(words.map(Self.quoted).joined(separator: " "))")
  }

  private static func script(_ options: [String], _ command: String) -> String {
    let lines = options.map { option in
      guard let equals = option.firstIndex(of: "=") else { return "#SBATCH --\(option)" }
      let value = String(option[option.index(after: equals)...])
      let isPlain = value.allSatisfy { !$0.isWhitespace && !"\"'#\\".contains($0) }
      let escaped = value.replacingScalars(["\\": "\\\\", "\"": "\\\""])
      return "#SBATCH --\(option[..<equals])=\(isPlain ? value : "\"\(escaped)\"")"
    }
    return (["#!/bin/bash"] + lines + [command]).joined(separator: "\n") + "\n"
  }

  /// A word as a shell reads it back.
  static func quoted(_ word: String) -> String {
    shellQuoted(word, plain: "_-./=:,+@%")
  }

  /// The words that submit the two jobs.
  /// - Parameter array: the array's job, which the second waits for.
  public func commands(array: String) -> [[String]] {
    [
      ["sbatch", "--parsable", scripts.array],
      ["sbatch", "--parsable", "--dependency=afterany:\(array)", scripts.merge],
    ]
  }

  /// Where the scripts are kept.
  private var scripts: (array: String, merge: String) { (logs + "/array.sh", logs + "/merge.sh") }

  /// Writes the scripts beside the logs and submits both jobs.
  /// - Returns: the numbers of the jobs.
  /// - Throws: `UsageError` with what Slurm says, or when nothing can be written.
  public func submit() async throws(UsageError) -> (array: String, merge: String) {
    let first = try await submitArray()
    do throws(UsageError) {
      return (first, try await Self.job(commands(array: first)[1]))
    } catch {
      throw UsageError(
        "job \(first) is submitted, the one that merges is not: \(error); attnlab merge \(folder) does it by hand"
      )
    }
  }

  /// Writes the scripts beside the logs and submits the array alone.
  /// - Returns: the number of the job.
  /// - Throws: `UsageError` as above.
  func submitArray() async throws(UsageError) -> String {
    try await checkSize()
    do throws(FileFailure) { try Folder.create(logs) } catch { throw UsageError(error.description) }
    do throws(FileFailure) {
      try AtomicFile.write(Array(text.utf8), to: scripts.array)
      try AtomicFile.write(Array(mergeText.utf8), to: scripts.merge)
    } catch {
      throw UsageError(error.description)
    }
    return try await Self.job(commands(array: "")[0])
  }

  private static func job(_ words: [String]) async throws(UsageError) -> String {
    // On several clusters: NUMBER;CLUSTER.
    let printed = try await SlurmJob.command(words[0], Array(words.dropFirst()))
    return printed.split(separator: ";").first.map(String.init) ?? printed
  }

  /// Sites bound the numbers of tasks, 1000 by default.
  private func checkSize() async throws(UsageError) {
    let settings = try await SlurmJob.command("scontrol", ["show", "config"])
    let line = settings.split(separator: "\n").first { $0.hasPrefix("MaxArraySize") }
    guard let most = line?.split(separator: "=").last.flatMap({ Int($0.trimmed) }), tasks >= most else {
      return
    }
    throw UsageError(
      "\(tasks) tasks: this cluster takes numbers up to \(most - 1) (MaxArraySize); --cells-per-task "
        + "\((cells + most - 2) / max(1, most - 1)) or more keeps below")
  }
}
