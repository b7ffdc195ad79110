import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Models
import Training
import Settings
import Tensors
import Testing

@testable import Presets
@testable import Processes
@testable import Records
@testable import Trainings

/// The tables of a training, its event file and its description, whatever ended the session before.
@Suite struct TrainingRecorderTests {
  let scratch: Scratch
  let folder: RunFolder

  init() throws {
    scratch = try Scratch()
    folder = try RunFolder(scratch("run"))
  }

  private static func job(
    _ steps: Int, _ schedule: String = "constant", _ more: [String: ParameterValue] = [:]
  ) -> TrainingJob {
    var job = TrainingJob(task: "induction")
    job.taskSettings = ["length": .int(8), "vocabulary": .int(6)]
    job.modelSettings = ["width": .int(8), "layers": .int(1), "heads": .int(2), "hidden": .int(8)]
    job.trainingSettings = [
      "steps": .int(steps), "batch": .int(2), "warmup": .int(1), "evaluation_batches": .int(1),
      "evaluate_every": .int(2), "schedule": .string(schedule),
    ]
    job.trainingSettings.merge(more) { $1 }
    return job
  }

  private var checkpoint: String { scratch("run/checkpoint.safetensors") }

  /// Trains on from the checkpoint, where there is one; `stop`: a request to end after so many steps of this session.
  @discardableResult
  private func train(
    _ job: TrainingJob, extending: Bool = false, hasEvents: Bool = false, stop: Int = .max
  ) throws -> TrainingRun {
    var run = try TrainingRun(job, catalog: .standard, threads: 1)
    if FileManager.default.fileExists(atPath: checkpoint) {
      try run.resume(from: checkpoint, extending: extending)
    }
    try run.checkEnd(checkpoint, extending: extending)
    let recorder = try TrainingRecorder(
      of: job.id, after: run.trainer.step, in: folder, isAlone: true, hasEvents: hasEvents)
    let interruption = Interruption()
    var done = 0
    let row = try run.run(checkpoint: checkpoint, interruption: interruption, recorder: recorder) { _ in
      done += 1
      if done == stop { interruption.request() }
    }
    try RowWriter(path: folder.runs, of: TrainingRow.self).append(row)
    try recorder.finish(row)
    return run
  }

  private func steps() throws -> [[String]] {
    try StepRow.read(folder.steps).map { ["\($0.step ?? 0)", $0["tokens"], $0["loss"], $0["gradient_norm"]] }
  }

  @Test("steps of a killed training stand there once each, with the numbers of one that nobody disturbed")
  func killed() throws {
    try train(Self.job(9))
    let whole = try steps()
    #expect(whole.map { $0[0] } == (1...9).map { "\($0)" } && whole.allSatisfy { !$0.contains("") })
    for table in [folder.steps, folder.curves, folder.runs, checkpoint] {
      try FileManager.default.removeItem(atPath: table)
    }
    #expect(throws: Interrupted.self) { try train(Self.job(9), stop: 4) }
    #expect(try steps() == Array(whole.prefix(4)))
    // As SIGKILL leaves them: rows beyond the checkpoint, and half a row.
    let written = try String(contentsOfFile: folder.steps, encoding: .utf8)
    var ahead = try #require(try StepRow.read(folder.steps).last)
    (ahead.step, ahead.loss) = (5, 77)
    _ = try scratch.write("run/steps.csv", written + CSVTable.line(ahead.fields) + "torn,")
    try train(Self.job(9))
    #expect(try steps() == whole)
    #expect(try CurveRow.read(folder.curves).map(\.step) == [2, 4, 6, 8, 9])
  }

  /// A record of an event file with its sums, as TensorBoard's reader checks them.
  private func events() throws -> [[UInt8]] {
    var rest = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + EventLog.file))[...]
    func number<T: FixedWidthInteger>(_ type: T.Type) -> T {
      defer { rest = rest.dropFirst(T.bitWidth / 8) }
      return rest.prefix(T.bitWidth / 8).reversed().reduce(0) { $0 << 8 | T($1) }
    }
    var found: [[UInt8]] = []
    while !rest.isEmpty {
      let head = Array(rest.prefix(8)), count = Int(number(UInt64.self))
      #expect(number(UInt32.self) == CRC32C.masked(head))
      let data = Array(rest.prefix(count))
      rest = rest.dropFirst(count)
      #expect(number(UInt32.self) == CRC32C.masked(data))
      found.append(data)
    }
    return found
  }

  @Test("the event file holds what the tables hold, also of steps before it was asked for")
  func eventFile() throws {
    #expect(throws: Interrupted.self) { try train(Self.job(6), stop: 3) }
    try train(Self.job(6), hasEvents: true)
    // The beginning, six steps, three evaluations, the test.
    let live = try events()
    #expect(live.count == 1 + 6 + 3 + 1)
    try EventLog.write(of: Self.job(6).id, in: folder)
    let again = try events()
    #expect(Set(again) == Set(live) && again.count == live.count)
    let loss = try #require(try StepRow.read(folder.steps)[4].loss)
    let bits = withUnsafeBytes(of: Float(loss).bitPattern.littleEndian) { Array($0) }
    let mark = Array("train/loss".utf8) + [0x15] + bits
    #expect(live.count { $0.firstRange(of: mark) != nil } == 1)
  }

  @Test("a schedule without an end goes on to the weights of as many steps from the start")
  func extendedConstant() throws {
    try train(Self.job(4))
    let extended = try train(Self.job(7), extending: true)
    let whole = try TrainingRun(Self.job(7), catalog: .standard, threads: 1)
    while !whole.trainer.isFinished { _ = try whole.trainer.advance() }
    #expect(
      extended.trainer.model.namedWeights().mapValues { $0.array() }
        == whole.trainer.model.namedWeights().mapValues { $0.array() })
    #expect(extended.trainer.extensions.isEmpty)
    #expect(try steps().map { $0[0] } == (1...7).map { "\($0)" })
    #expect(try TrainingRow.read(folder.runs).map(\.extendedFrom) == ["", ""])
  }

  @Test(
    "a cosine goes on as that of its later end, and its row says from where; without the flag it is refused")
  func extendedCosine() throws {
    try train(Self.job(4, "cosine"))
    #expect(throws: (any Error).self) { try train(Self.job(8, "cosine")) }
    var run = try TrainingRun(Self.job(8, "cosine"), catalog: .standard, threads: 1)
    try run.resume(from: checkpoint, extending: true)
    #expect(run.extensionNote?.contains("from step 4 to step 8") == true, "\(run.extensionNote ?? "")")
    // Interrupted in between, it goes on with and without the flag, and is extended but once.
    #expect(throws: Interrupted.self) { try train(Self.job(8, "cosine"), extending: true, stop: 2) }
    #expect(throws: Interrupted.self) { try train(Self.job(8, "cosine"), stop: 1) }
    try train(Self.job(8, "cosine"), extending: true)
    let rates = try StepRow.read(folder.steps).map(\.learningRate)
    var long = try TrainingConfiguration(settings: Self.job(8, "cosine").trainingSettings)
    #expect(Array(rates[4...]) == (5...8).map { long.learningRate(at: $0, width: 8) })
    long.steps = 4
    #expect(Array(rates[..<4]) == (1...4).map { long.learningRate(at: $0, width: 8) })
    #expect(try TrainingRow.read(folder.runs).map(\.extendedFrom) == ["", "4"])
    try train(Self.job(9, "cosine"), extending: true)
    #expect(try TrainingRow.read(folder.runs).last?.extendedFrom == "4;8")
  }

  @Test("what patience has ended is extended only without it")
  func patience() throws {
    let ended: [String: ParameterValue] = ["patience": .int(1), "learning_rate": .int(0)]
    try train(Self.job(20, "constant", ended))
    let error = #expect(throws: UsageError.self) {
      try train(Self.job(30, "constant", ended), extending: true)
    }
    #expect(
      error?.description.contains("patience ended the training at step 4") == true,
      "\(error?.description ?? "")")
    let endless: [String: ParameterValue] = ["patience": .int(0), "learning_rate": .int(0)]
    #expect(try train(Self.job(8, "constant", endless), extending: true).trainer.step == 8)
  }
}
