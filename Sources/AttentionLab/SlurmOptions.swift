import ArgumentParser
import Basics
import Commands
import Foundation
import Presets
import Sweeps

/// What jobs of Slurm ask of their cluster: the same for `attnlab slurm` and `attnlab run --executor slurm`.
struct SlurmOptions: ParsableArguments {
  @Option(help: "The partition.")
  var partition: String?

  @Option(help: "The time of a task, as sbatch takes it: minutes, or HH:MM:SS.")
  var time: String?

  @Option(help: "Cells that a task runs one after another. Default: 1.")
  var cellsPerTask: Int?

  @Option(help: "The most tasks that run at once.")
  var concurrent: Int?

  @Option(help: "Processors of a task.")
  var cpusPerTask: Int?

  @Option(help: "A further option of sbatch without its hyphens, such as mem=16G or exclusive; repeatable.")
  var sbatch: [String] = []

  /// The first flag that was given, for a command that has no jobs; `nil`: none.
  var given: String? {
    let all: [(String, Bool)] = [
      ("--partition", partition != nil), ("--time", time != nil), ("--cells-per-task", cellsPerTask != nil),
      ("--concurrent", concurrent != nil), ("--cpus-per-task", cpusPerTask != nil),
      ("--sbatch", !sbatch.isEmpty),
    ]
    return all.first(where: \.1)?.0
  }

  /// The jobs of a preset.
  /// - Parameters:
  ///   - asked: the preset and what is changed in it.
  ///   - preset: the same, read.
  ///   - cells: how many cells it has.
  ///   - array: the tasks; `nil`: all.
  ///   - flags: what tasks are told beside it.
  /// - Throws: `UsageError` for what is not possible.
  func script(
    _ asked: PresetOptions, _ preset: Preset, cells: Int, array: String?, flags: [String]
  ) throws -> SlurmScript {
    let program = try Installed.program()
    if let cpusPerTask, cpusPerTask < 1 {
      throw UsageError("--cpus-per-task \(cpusPerTask): it takes a whole number of at least 1")
    }
    let options: [(String, String?)] = [
      ("partition", partition), ("time", time), ("cpus-per-task", cpusPerTask.map { "\($0)" }),
    ]
    var arguments = [Self.absolute(preset.file)] + asked.sets.flatMap { ["--set", $0] }
    if let only = asked.only { arguments += ["--only", only] }
    return try SlurmScript(
      program: program, arguments: arguments + flags, folder: Self.absolute(asked.folder(of: preset)),
      name: "attnlab-\(preset.name)", cells: cells, cellsPerTask: cellsPerTask ?? 1, array: array,
      concurrent: concurrent,
      options: options.compactMap { name, value in value.map { "\(name)=\($0)" } } + sbatch)
  }

  /// A job may begin in another folder.
  private static func absolute(_ path: String) -> String {
    EmbeddedPresets.holds(path) ? path : URL(fileURLWithPath: path).standardized.path
  }
}
