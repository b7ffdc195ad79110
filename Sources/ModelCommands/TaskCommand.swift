import ArgumentParser
import Basics
import Commands
import ImageTasks
import LongText
import Pages
import Settings
import Tasks
import Trainings

/// `attnlab task`: examples of a task for other programs.
package struct TaskCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "task",
    abstract: "Write examples of a task for other programs: arrays, or prompts with their answers.",
    discussion: HelpText.page(
      """
      The same task and settings give the examples that attnlab train validates and tests with, whatever its seed. --out NAME.npz holds
      inputs, targets (-100: not scored) or labels, lengths, and the source of a task with two sequences. --out NAME.jsonl
      has a line an example, {"index", "input", "outputs"}, where the answer ends the row. attnlab grade grades answers.
      """,
      examples: [
        "attnlab task mqar --examples 100 --set pairs=8 --set updates=4 --out mqar.npz",
        "attnlab task passkey --examples 20 --set length=2048 --out passkey.jsonl",
      ]))

  @Argument(help: "The task; see attnlab list.", completion: .tasks)
  var task: String

  @Option(help: "How many.")
  var examples = 100

  @Option(
    name: .customLong("set"), help: "A setting of the task, name=value; may be repeated.",
    completion: .settings)
  var sets: [String] = []

  @Option(help: "Of which split.")
  var split = Split.test

  @Option(help: "Where they go: .npz or .jsonl.", completion: .file(extensions: ["npz", "jsonl"]))
  var out: String

  @Flag(help: "Print JSON: what was written.")
  var json = false

  /// Creates the command; the parser needs it.
  package init() {}

  package func files() -> CommandFiles {
    var files = CommandFiles()
    files.write(out, "--out")
    return files
  }

  package func run() throws {
    guard (1...1_000_000).contains(examples) else {
      throw UsageError("--examples \(examples): it takes 1 to 1000000")
    }
    let isArrays = out.hasSuffix(".npz")
    guard isArrays || out.hasSuffix(".jsonl") else {
      throw UsageError("--out \(out): it takes NAME.npz or NAME.jsonl")
    }
    let settings = try ParameterValue.settings(parsing: sets)
    let task = try TaskCatalog.standard.prepared(task, settings: settings, key: TrainingJob.taskKey)
    let drawn = try TaskExamples(of: task, split: split, count: examples)
    if isArrays {
      try drawn.archive.write(to: out)
    } else {
      try AtomicFile.write(Array(drawn.lines().utf8), to: out)
    }
    show(
      "\(out): \(counted(examples, "example")) of \(task.card.id), \(split.rawValue) split, \(task.configurationSummary)",
      or: .object([
        "path": .string(out), "task": .string(task.card.id),
        "configuration": .string(task.configurationSummary),
        "split": .string(split.rawValue), "examples": .int(examples),
      ]), if: json)
  }
}
