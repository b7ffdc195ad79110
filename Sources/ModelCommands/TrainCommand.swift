import ArgumentParser
import AttentionCore
import Basics
import Commands
import Foundation
import Models
import Training
import Pages
import Presets
import Processes
import Ranks
import Records
import Settings
import Tasks
import Tensors
import Trainings

/// `attnlab train`: one Transformer on one task.
package struct TrainCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a Transformer with any attention variant on a task; the same command resumes.",
    discussion: HelpText.page(
      """
      Without --model and --set a training has the recipe of its task, if there is one (attnlab list TASK), which learns
      most tasks within minutes; --steps and --variant change what it says. With them the general defaults hold (attnlab
      list model, attnlab list training), unless --recipe is given.

      model.yaml has the sections task, model and training, such as {model: {width: 256, layers: 6}}. Ctrl-C saves. The
      checkpoint folder gets the model with its config.json, tables of steps, evaluations and result, a report, and a
      README.md that says what the columns mean.

      --extend goes on with a finished training to more steps. A cosine has an end, and gets a later one: its rate rises
      again, and the result is not that of a training with as many steps from the start. Other schedules have none.
      """,
      examples: [
        "attnlab train mqar",
        "attnlab train text --steps 300",
        "attnlab train text --set task.path=notes.txt --variant 'sliding-window(left=63) x3, full' "
          + "--checkpoint runs/notes",
        "attnlab train mqar --recipe --set task.pairs=8 --variant 'sliding-window(left=15)' "
          + "--checkpoint runs/window",
        "attnlab train listops --model model.yaml --checkpoint runs/listops",
        "attnlab train text --steps 400 --extend --tensorboard",
        "attnlab train text --set model.width=256 --time 10 --threads 1",
        "attnlab train mqar --recipe --steps 50 --auxiliary 'induction(length=32, weight=0.5)' "
          + "--checkpoint runs/two",
        "mpirun -n 4 attnlab train text --threads 4 --checkpoint runs/ranks",
      ]))

  @Argument(help: "The task; see attnlab list.", completion: .tasks)
  var task: String

  @Option(help: "A YAML file with the sections task, model and training.")
  var model: String?

  @Option(help: "The layers' attention in turn, such as \"sliding-window(left=63) x3, full\".")
  var variant: String?

  @Option(help: "Optimiser steps.")
  var steps: Int?

  @Option(help: "The folder of checkpoints and results. Default: results/train-<task>.")
  var checkpoint: String?

  @Option(
    name: .customLong("set"), help: "model.NAME=value, training.NAME=value or task.NAME=value; repeatable.",
    completion: .settings)
  var sets: [String] = []

  @Option(
    help:
      "Tasks to learn beside it, such as 'labelled-text(length=128, weight=0.5)': every step takes a batch of each, or with share=0.3 so many steps are its."
  )
  var auxiliary: String?

  @Flag(help: "The task's recipe holds where --model and --set say nothing; see attnlab list TASK.")
  var recipe = false

  @Option(help: "The seed of weights, batches and the task.")
  var seed = 1

  @Option(help: "Threads. Default: all processors; of ranks: each its share.")
  var threads: Int?

  @Option(
    help:
      "Processes that share the rows of every step; mpirun starts them unless it started this one. The result has the same bits for any number."
  )
  var ranks: Int?

  @Flag(help: "Go on with a finished training to more --steps.")
  var extend = false

  @Flag(help: "Write an event file that TensorBoard reads, into tensorboard/ of the folder.")
  var tensorboard = false

  @Flag(help: "Start over; the old folder is kept under another name.")
  var fresh = false

  @Option(help: "Time this many steps after three warm ones instead of training; nothing is written.")
  var time: Int?

  @Flag(help: "Show no progress; warnings and errors are shown.")
  var quiet = false

  @Flag(help: "Print the final row, or the times, as JSON.")
  var json = false

  /// Creates the command; the parser needs it.
  package init() {}

  package func files() throws -> CommandFiles {
    var files = CommandFiles()
    files.read(model, "--model")
    if case .string(let path)? = try settings().values["task.path"] { files.read(path) }
    for other in try auxiliary.map(AuxiliaryEntry.parse) ?? [] {
      if case .string(let path)? = other.settings["path"] { files.read(path) }
    }
    guard time == nil else { return files }
    files.write(TrainingRun.resultFiles + (tensorboard ? [EventLog.file] : []), in: folder)
    return files
  }

  private var folder: String { checkpoint ?? "results/train-\(task)" }

  package func run() throws {
    let catalog = Installed.catalog
    try ThreadFlag.check(threads)
    let settings = try settings()
    do {
      try runOnRanks { communicator in try run(settings, catalog, communicator) }
    } catch let error as ConfigurationError {
      throw settings.located(error)
    }
  }

  private func run(
    _ settings: TrainingSettings, _ catalog: Catalog, _ communicator: (any Communicator)?
  ) throws {
    var job = try TrainingPlan.job(settings.values, place: "--set")
    job.seed = seed
    if let auxiliary { job.auxiliary = try AuxiliaryEntry.parse(auxiliary) }
    if quiet { Terminal.silenceProgress() }
    let count = threads ?? max(1, Parallel.processorCount / (communicator?.count ?? 1))
    try checkExtension()
    if let time { return try timeSteps(time, of: job, catalog, threads: count, communicator) }
    // Of ranks on several machines nobody knows the peak.
    let peak =
      communicator == nil
      ? MachinePeak.gflops(threads: count, instructionSet: InstructionSet.default.rawValue) : nil
    var run = try TrainingRun(
      job, catalog: catalog, threads: count, peakGflops: peak, communicator: communicator)
    let folder = run.isRecorder ? try preparedFolder() : nil
    // Nobody looks for a checkpoint before the folder is as it will be.
    _ = try run.trainer.anyRank(false)
    let file = self.folder + "/" + TrainingRun.checkpointFile
    let resumes = FileManager.default.fileExists(atPath: file)
    if resumes { try run.resume(from: file, extending: extend) }
    try run.checkEnd(file, extending: extend)
    if folder != nil { describe(run, resumes: resumes) }
    if try run.trainer.anyRank(folder.map { try isFinished(run, $0) } ?? false) {
      guard let folder else { return }
      if tensorboard { try EventLog.write(of: job.id, in: folder) }
      return Terminal.note(
        "\(self.folder) is finished; --fresh trains again, --extend goes on to more --steps")
    }
    guard let folder else {
      _ = try run.run(checkpoint: file, interruption: .ofProcess) { _ in }
      return
    }
    try record(run, file, peak, in: folder)
  }

  /// Refuses to extend what is not there.
  private func checkExtension() throws(UsageError) {
    guard extend else { return }
    if fresh || time != nil { throw UsageError("--extend: it goes with neither --fresh nor --time") }
    guard FileManager.default.fileExists(atPath: folder + "/" + TrainingRun.checkpointFile) else {
      throw UsageError("--extend: \(folder) holds no training to go on with")
    }
  }

  /// The folder, held and checked.
  private func preparedFolder() throws -> RunFolder {
    if fresh,
      let kept = try RunFolder.setAside(
        folder, tables: Installed.kinds.tableNames, flag: "--checkpoint")
    {
      Terminal.note("kept the earlier results as \(kept)")
    }
    // Until now there was nothing to save.
    Interruption.ofProcess.answersBetweenSteps()
    let held = try RunFolder(folder, flag: "--checkpoint")
    try held.check(forOneOf: TrainingExperiment.self, among: Installed.kinds)
    return held
  }

  private func describe(_ run: TrainingRun, resumes: Bool) {
    let model = run.trainer.model
    let shared = run.trainer.communicator.map { ", on \(counted($0.count, "rank"))" } ?? ""
    Terminal.note(
      "\(task): \(model.parameterCount) parameters (\(model.nonEmbeddingParameterCount) without embeddings), "
        + "\(run.trainer.configuration.steps) steps, attention \(model.configuration.attention)\(shared)")
    if !LabVersion.isOptimized { Terminal.note("warning: a debug build is slow (swift build -c release)") }
    if resumes { Terminal.note("resumed at step \(run.trainer.step)") }
    if extend, let note = run.extensionNote { Terminal.note(note) }
  }

  private func isFinished(_ run: TrainingRun, _ folder: RunFolder) throws -> Bool {
    try run.trainer.isFinished && folder.hasTraining(run.job)
      && FileManager.default.fileExists(atPath: folder.path + "/" + TrainingRun.modelFile)
  }

  /// Trains, and writes what is kept of it.
  private func record(_ run: TrainingRun, _ file: String, _ peak: Double?, in folder: RunFolder) throws {
    let (job, threads) = (run.job, run.threads)
    let texts = [run.trainer.task.text] + run.trainer.auxiliary.map(\.task.text)
    let text = texts.lazy.compactMap(\.self).first
    let subject = EnvironmentRecord.Subject(job, extendedFrom: run.trainer.extensions)
    try Blocking.wait {
      try await EnvironmentRecord.add(subject, text: text, threads: threads, peakGflops: peak, to: folder)
    }
    let recorder = try TrainingRecorder(
      of: job.id, after: run.trainer.step, in: folder, isAlone: true, hasEvents: tensorboard)
    var row = try run.run(checkpoint: file, interruption: .ofProcess, recorder: recorder) { progress in
      let line = progress.text
      if let evaluation = progress.evaluation {
        Terminal.report(
          line + "; validation loss \(Quantity.significant(evaluation.validationLoss, 4)), "
            + "accuracy \(Quantity.significant(evaluation.validationAccuracy, 3))")
      } else {
        Terminal.progress(line)
      }
    }
    Terminal.clearProgress()
    // The row is last: without it the training does not count as finished.
    try run.trainer.model.save(to: folder.path + "/" + TrainingRun.modelFile)
    try TrainingDescription(run).write(to: folder)
    (row.commit, row.program) = (Blocking.commit(), ProgramFile.hash)
    let others = try run.auxiliaryRows()
    if try !folder.hasTraining(job) {
      try RowWriter(path: folder.runs, of: TrainingRow.self).append(others + [row])
    }
    try recorder.finish(row)
    let made = try Blocking.report(of: folder.path)
    show(
      TrainingPage.text(row, others: others, folder: folder.path, made), or: TrainingPage.json(row, made),
      if: json)
  }

  private func settings() throws -> TrainingSettings {
    var settings = try TrainingSettings(
      of: task, file: model, sets: sets, hasRecipe: recipe || (model == nil && sets.isEmpty))
    if let variant { settings.set("model.attention", .string(Spelling.noted(line: variant))) }
    if let steps { settings.set("training.steps", .int(steps)) }
    return settings
  }
}
