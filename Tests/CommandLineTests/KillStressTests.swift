import Basics
import Foundation
import LabTestSupport
import Records
import Testing

/// Signals at random moments: no row is lost, doubled or torn, no child is left, and the same command continues.
/// `ATTNLAB_STRESS=40` makes forty rounds of it; the seed of a round is its number.
@Suite(.serialized) struct KillStressTests {
  static let rounds = Int(ProcessInfo.processInfo.environment["ATTNLAB_STRESS"] ?? "") ?? 2
  static let signals = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGKILL]
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  /// Starts the command again and again and ends it after a random while, then lets it finish.
  private func stress(
    _ program: BuiltProgram, _ arguments: [String], seed: Int, longest: Int
  ) throws -> BuiltProgram.Result {
    var generator = RandomKey(seed: UInt64(seed))("kill").generator()
    for _ in 0..<4 {
      let (process, _) = try program.start(arguments, scratch: scratch)
      usleep(UInt32(200_000 + generator.integer(below: longest)))
      kill(process.processIdentifier, Self.signals[generator.integer(below: Self.signals.count)])
      process.waitUntilExit()
      #if os(Linux)
        // A cell looks for its runner five times a second.
        for _ in 0..<40 where !children(of: process).isEmpty { usleep(50_000) }
        #expect(children(of: process).isEmpty, "seed \(seed): a cell outlives its run")
      #endif
    }
    return try program.run(arguments)
  }

  @Test("runs", arguments: 1...rounds)
  func runs(_ seed: Int) throws {
    let preset = try scratch.write(
      "p.yaml",
      "n: [4, 8]\nhead_dim: 4\nrepeats: 1\nthreads: 1\nvariants: [plain, {plain: {left: [2, 4]}}]\n")
    let result = try stress(
      .fakes, ["run", preset, "--out", scratch("out")], seed: seed, longest: 3_000_000)
    #expect(result.code == 0, "seed \(seed): \(result.errors)")
    let rows = try MeasurementRow.read(scratch("out/measurements.csv"))
    #expect(rows.count == 6 && Set(rows.map(\.cellID)).count == 6, "seed \(seed)")
    #expect(rows.allSatisfy { $0.status == .ok }, "seed \(seed): \(rows.map(\.reason))")
    let names = try FileManager.default.contentsOfDirectory(atPath: scratch("out"))
    #expect(!names.contains { $0.hasSuffix(".partial") }, "seed \(seed): \(names)")
  }

  @Test("trainings", arguments: 1...rounds)
  func trainings(_ seed: Int) throws {
    let text = try scratch.write("text.txt", String(repeating: "abcdefgh", count: 400))
    func arguments(_ folder: String) -> [String] {
      let settings = [
        "task.path=\(text)", "task.length=16", "model.width=8", "model.layers=1", "model.heads=1",
        "training.batch=2", "training.evaluate_every=40", "training.evaluation_batches=1",
        "training.checkpoint_every=7",
      ]
      return ["train", "text", "--steps", "400", "--checkpoint", scratch(folder), "--threads", "1"]
        + settings.flatMap { ["--set", $0] }
    }
    #expect(try BuiltProgram.attnlab.run(arguments("whole")).code == 0)
    let result = try stress(.attnlab, arguments("out"), seed: seed, longest: 1_500_000)
    #expect(result.code == 0, "seed \(seed): \(result.errors)")
    func values(_ folder: String, _ columns: [String]) throws -> [[String]] {
      let table = try CSVTable(contentsOf: scratch(folder))
      let columns = try columns.map(table.index(of:))
      return table.rows.map { row in columns.map { row[$0] } }
    }
    for (table, columns) in [
      ("curves.csv", ["step", "train_loss", "validation_loss"]), ("steps.csv", ["step", "tokens", "loss"]),
    ] {
      #expect(
        try values("out/" + table, columns) == values("whole/" + table, columns), "seed \(seed): \(table)")
    }
    let rows = try ["out", "whole"].map { try TrainingRow.read(scratch($0 + "/runs.csv")) }
    #expect(rows.map(\.count) == [1, 1] && rows[0][0].testLoss == rows[1][0].testLoss, "seed \(seed)")
  }
}
