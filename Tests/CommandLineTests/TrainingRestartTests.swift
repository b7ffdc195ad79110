import Foundation
import LabTestSupport
import Records
import Testing

/// What a training that was killed, or whose text has changed, leaves and finds.
@Suite struct TrainingRestartTests {
  let scratch: Scratch
  let text: String
  var folder: String { scratch.path + "/run" }

  init() throws {
    scratch = try Scratch()
    text = try scratch.write("text.txt", String(repeating: "abcdefgh", count: 400))
  }

  private func arguments(_ steps: Int) -> [String] {
    let settings = [
      "task.path=\(text)", "task.length=16", "model.width=8", "model.layers=1", "model.heads=1",
      "training.batch=2", "training.evaluate_every=1", "training.evaluation_batches=1",
      "training.schedule=constant", "training.checkpoint_every=3",
    ]
    return ["train", "text", "--steps", "\(steps)", "--checkpoint", folder, "--threads", "1"]
      + settings.flatMap { ["--set", $0] }
  }

  private func curve() throws -> [[String]] {
    let table = try CSVTable(contentsOf: folder + "/curves.csv")
    let columns = try ["step", "train_loss", "validation_loss"].map(table.index(of:))
    return table.rows.map { row in columns.map { row[$0] } }
  }

  @Test("a killed training leaves one point an evaluation, and nothing half-written")
  func curvesAfterAKill() throws {
    #expect(try BuiltProgram.attnlab.run(arguments(3)).code == 0)
    let after = try curve()
    // As a kill between two checkpoints leaves it: points beyond the checkpoint, a torn line, half a file.
    let line = try #require(try scratch.lines("run/curves.csv").last)
    let fields = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let ahead = [4, 5].map { (fields[0...1] + ["\($0)"] + fields[3...]).joined(separator: ",") + "\n" }
    let whole = try String(contentsOfFile: folder + "/curves.csv", encoding: .utf8)
    _ = try scratch.write("run/curves.csv", whole + ahead.joined() + "torn,")
    // No process has this number.
    _ = try scratch.write("run/checkpoint.safetensors.2000000000.partial", "half")
    _ = try scratch.write("run/mine.partial", "a user's own file")

    let resumed = try BuiltProgram.attnlab.run(arguments(6))
    #expect(resumed.code == 0 && resumed.errors.contains("resumed at step 3"), "\(resumed.errors)")
    let points = try curve()
    #expect(points.map { $0[0] } == (1...6).map { "\($0)" } && Array(points.prefix(3)) == after)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(names.filter { $0.hasSuffix(".partial") } == ["mine.partial"])
  }

  @Test("a training that was killed after its last step still gets its row and its model")
  func killedBeforeTheRow() throws {
    #expect(try BuiltProgram.attnlab.run(arguments(3)).code == 0)
    let row = try #require(TrainingRow.read(folder + "/runs.csv").first)
    for file in ["runs.csv", "model.safetensors"] {
      try FileManager.default.removeItem(atPath: folder + "/" + file)
    }
    #expect(try BuiltProgram.attnlab.run(arguments(3)).code == 0)
    let again = try TrainingRow.read(folder + "/runs.csv")
    #expect(again.map { $0["test_loss"] } == [row["test_loss"]] && again.map { $0["steps"] } == ["3"])
    #expect(FileManager.default.fileExists(atPath: folder + "/model.safetensors"))
  }

  @Test("a text that has changed since the checkpoint ends the training")
  func changedText() throws {
    #expect(try BuiltProgram.attnlab.run(arguments(3)).code == 0)
    let before = try Data(contentsOf: URL(fileURLWithPath: folder + "/checkpoint.safetensors"))
    _ = try scratch.write("text.txt", String(repeating: "abcdefgx", count: 400))
    let refused = try BuiltProgram.attnlab.run(arguments(6))
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("text.txt has changed since"), "\(refused.errors)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/checkpoint.safetensors")) == before)
    // Another place of the same text is the same text, but another setting.
    _ = try scratch.write("text.txt", String(repeating: "abcdefgh", count: 400))
    #expect(try BuiltProgram.attnlab.run(arguments(6)).code == 0)
  }

  @Test("fewer steps than were made are refused; more go on, under one name in the curves")
  func otherNumbersOfSteps() throws {
    #expect(try BuiltProgram.attnlab.run(arguments(6)).code == 0)
    let refused = try BuiltProgram.attnlab.run(arguments(3))
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("at step 6, beyond the 3 steps asked for"), "\(refused.errors)")
    #expect(try TrainingRow.read(folder + "/runs.csv").count == 1)
    #expect(try BuiltProgram.attnlab.run(arguments(8)).code == 0)
    let table = try CSVTable(contentsOf: folder + "/curves.csv")
    #expect(Set(try table.strings("run_id")).count == 1 && table.rows.count == 8)
  }

  @Test("Ctrl-C is answered while the text is still awaited")
  func interruptionWhileReading() throws {
    #expect(mkfifo(scratch.path + "/pipe", 0o600) == 0)
    let (process, files) = try BuiltProgram.attnlab.start(
      ["train", "text", "--steps", "1", "--set", "task.path=\(scratch.path)/pipe", "--checkpoint", folder],
      scratch: scratch)
    Thread.sleep(forTimeInterval: 2)
    kill(process.processIdentifier, SIGINT)
    #expect(ends(process) && process.terminationStatus == 130)
    #expect(try String(contentsOfFile: files.errors, encoding: .utf8).contains("interrupted"))
    #expect(!FileManager.default.fileExists(atPath: folder))
  }

  /// Starts a training that would take days, and waits until its folder is there: its handlers are in place before.
  private func startLongTraining(
    _ program: BuiltProgram = .attnlab
  ) throws -> (process: Process, files: (output: String, errors: String)) {
    let started = try program.start(arguments(1_000_000), scratch: scratch)
    for _ in 0..<600 where !FileManager.default.fileExists(atPath: folder + "/.lock") {
      Thread.sleep(forTimeInterval: 0.05)
    }
    return started
  }

  /// Whether a process ends by itself within half a minute; one that does not is killed.
  private func ends(_ process: Process) -> Bool {
    for _ in 0..<600 where process.isRunning { Thread.sleep(forTimeInterval: 0.05) }
    let isOver = !process.isRunning
    if !isOver { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    return isOver
  }

  @Test(
    "Ctrl-C is answered before the first step too, whatever mask the program was started with",
    arguments: [false, true])
  func earlyInterruption(isBlockedByParent: Bool) throws {
    var blocked = sigset_t(), before = sigset_t()
    sigemptyset(&blocked)
    if isBlockedByParent { sigaddset(&blocked, SIGINT) }
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let (process, files) = try startLongTraining()
    kill(process.processIdentifier, SIGINT)
    try #require(ends(process), "the training goes on after Ctrl-C")
    let errors = try String(contentsOfFile: files.errors, encoding: .utf8)
    #expect(process.terminationReason == .exit && process.terminationStatus == 130, "\(errors)")
    #expect(errors.contains("interrupted; the same command continues"), "\(errors)")
    #expect(FileManager.default.fileExists(atPath: folder + "/checkpoint.safetensors"))
  }

  @Test("a training started with nohup outlives its terminal")
  func ignoredHangUp() throws {
    // What nohup does, in this process for as long as the program is started.
    let before = signal(SIGHUP, SIG_IGN)
    let (process, _) = try startLongTraining()
    _ = signal(SIGHUP, before)
    kill(process.processIdentifier, SIGHUP)
    Thread.sleep(forTimeInterval: 1)
    #expect(process.isRunning)
    kill(process.processIdentifier, SIGTERM)
    #expect(ends(process) && process.terminationStatus == 130)
  }
}
