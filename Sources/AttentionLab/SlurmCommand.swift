import ArgumentParser
import Basics
import Commands
import Pages
import Presets
import Sweeps

/// `attnlab slurm`: a preset as an array of jobs.
struct SlurmCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "slurm",
    abstract: "Print or submit the Slurm jobs that run a preset in parts and merge them.",
    discussion: HelpText.page(
      """
      Prints the script of the array; --submit writes it and submits it, with a job that merges when all tasks have ended.
      A task that its time limit or the scheduler ends goes on where it was.
      """,
      examples: [
        "attnlab slurm scaling-time-memory --partition short --time 02:00:00 --cells-per-task 20",
        "attnlab slurm quickstart --partition short --time 30 --out results/sweep --submit --dry-run",
      ]))

  @OptionGroup var asked: PresetOptions

  @OptionGroup var jobs: SlurmOptions

  @Option(help: "Only these tasks, such as 3,7-9: what attnlab status says is missing.")
  var array: String?

  @Flag(help: "Tasks work on their node's own disk and bring the results back.")
  var scratch = false

  @Flag(help: "Submit the jobs.")
  var submit = false

  @Flag(help: "With --submit: print what would be submitted, and stop.")
  var dryRun = false

  @Flag(help: "Print JSON.")
  var json = false

  func files() throws -> CommandFiles {
    var files = CommandFiles()
    files.read(try PresetFinder.file(asked.preset))
    return files
  }

  func run() async throws {
    let script = try script()
    guard submit, !dryRun else {
      return print(json ? Self.json(script, nil).pretty : text(script), terminator: json ? "\n" : "")
    }
    let jobs = try await script.submit()
    print(
      json
        ? Self.json(script, jobs).pretty
        : "submitted job \(jobs.array) (\(script.array) of \(script.tasks) tasks, \(script.cells) cells) and job "
          + "\(jobs.merge), which merges into \(script.folder)")
  }

  private func script() throws -> SlurmScript {
    try asked.refusePipe()
    let preset = try asked.load(), selection = try asked.selection(of: preset, .whole)
    return try jobs.script(
      asked, preset, cells: selection.total, array: array, flags: scratch ? ["--scratch"] : [])
  }

  private func text(_ script: SlurmScript) -> String {
    guard submit else { return script.text }
    let commands = script.commands(array: "JOB").map { "# " + $0.joined(separator: " ") + "\n" }
    return zip(commands, [script.text, script.mergeText]).map { $0 + $1 }.joined(separator: "\n")
  }

  private static func json(_ script: SlurmScript, _ jobs: (array: String, merge: String)?) -> JSONValue {
    .object([
      "cells": .int(script.cells), "tasks": .int(script.tasks), "array": .string(script.array),
      "folder": .string(script.folder), "script": .string(script.text),
      "merge_script": .string(script.mergeText), "job": .text(jobs?.array), "merge_job": .text(jobs?.merge),
    ])
  }
}
