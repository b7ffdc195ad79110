import Attention
import Basics
import Foundation
import LabTestSupport
import Measuring
import Processes
import Records
import Testing

@testable import Presets
@testable import Sweeps

/// How far a sweep is, from folders that nobody's run wrote; where a run works.
@Suite struct StatusTests {
  @Test("done, failed, running and missing, and what is missing as sbatch takes it")
  func states() throws {
    let sweep = try FakeSweep()
    try sweep.part("1/4") { number, row in if number == 5 { row.fail(.crashed, "signal 11") } }
    try sweep.part("2/4", cells: 1...5) { _, row in row.fail(.killed, "ended from outside") }
    let running = try sweep.part("3/4", cells: 1...3)
    let held = try RunFolder(running)
    let status = try sweep.status()
    withExtendedLifetime(held) {}
    #expect(status.cells.count == 10 && status.count(.done) == 3)
    #expect(status.cells.filter { $0.state == .failed }.map(\.number) == [5])
    #expect(status.cells.filter { $0.state == .running }.map(\.number) == [7])
    // What somebody else ended would be run again; part 4 was never begun.
    #expect(status.cells.filter { $0.state == .missing }.map(\.number) == [2, 4, 6, 8, 10])
    #expect(status.shards == 4 && status.missingTasks == [2, 4])
    #expect(status.text.contains("missing: --array=2,4 (of 4 tasks, --shard i/4)"))
    #expect(status.text.contains("  5 full n=24: crashed: signal 11") || status.text.contains("signal 11"))
    #expect(status.tasks.map(\.state) == ["finished", "stopped", "running"])
    let json = status.json("out")
    #expect(json["array"] == .string("2,4") && json["running"] == .int(1) && json["done"] == .int(3))
    #expect(json["tasks"].arrayValue.count == 3)
  }

  @Test("parts that were cut in several ways are told by cell")
  func severalCuts() throws {
    let sweep = try FakeSweep()
    try sweep.part("1/4")
    try sweep.part("2/10")
    let status = try sweep.status()
    #expect(status.shards == 10 && status.missingTasks == [3, 4, 6, 7, 8, 10])
  }

  @Test("a part counts its own cells, a part without any none")
  func ofOnePart() throws {
    let sweep = try FakeSweep()
    try sweep.part("2/4", cells: 2...2)
    let status = try sweep.status("out/shards/2-of-4")
    #expect(status.cells.map(\.number) == [2, 6, 10] && status.ofTask == "3 cells, 1 done")
    try sweep.part("12/12")
    #expect(try sweep.status("out/shards/12-of-12").ofTask == "no cells")
  }

  @Test("the cells of a part that moved to another machine are known there")
  func moved() throws {
    let sweep = try FakeSweep()
    let path = try sweep.part("1/2"), folder = try RunFolder(path)
    // As a machine with other instruction sets would have named them.
    var entries = try CellEntry.read(in: path)
    let here = entries[0].cellID
    entries[0].cellID = "0123456789abcdef"
    try RunFolder.replace(path + "/cells.csv", with: CellEntry.text(entries))
    let shard = try #require(Shard("1/2"))
    let selection = try PresetSelection(sweep.preset, shard: shard, only: nil, catalog: .standard)
    #expect(try selection.record(in: folder) == ["0123456789abcdef": here])
    #expect(try CellEntry.read(in: path).count == 6)
    #expect(try sweep.status("out/shards/1-of-2").cells.count == 5)
  }

  @Test("a folder without a list of cells says how to get one")
  func withoutList() throws {
    let sweep = try FakeSweep()
    let path = try sweep.part("1/1", in: "old")
    try FileManager.default.removeItem(atPath: path + "/cells.csv")
    let error = #expect(throws: UsageError.self) { try sweep.status("old") }
    #expect(error?.description.contains("there is no cells.csv") == true)
  }

  private struct Ended: Error {}

  @Test("work on a node's own disk comes back, also when it ends badly", arguments: [false, true])
  func scratchFolder(fails: Bool) async throws {
    let scratch = try Scratch(), path = scratch("out")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for (name, text) in [("runs.csv", "a\n"), ("x.safetensors", "old"), ("notes.txt", "mine")] {
      _ = try scratch.write("out/" + name, text)
    }
    let place = try RunPlace(path, onScratch: true)
    #expect(place.folder.path != path && RunFolder.isHeld(path))
    do {
      try await place.use(requeues: false, Interruption(), note: { _ in }) { folder in
        #expect(try String(contentsOfFile: folder.path + "/runs.csv", encoding: .utf8) == "a\n")
        try RunFolder.replace(folder.path + "/runs.csv", with: "a\nb\n")
        try RunFolder.replace(folder.path + "/y.safetensors", with: String(repeating: "y", count: 1 << 20))
        try FileManager.default.removeItem(atPath: folder.path + "/x.safetensors")
        #expect(try String(contentsOfFile: path + "/runs.csv", encoding: .utf8) == "a\n")
        if fails { throw Ended() }
      }
      #expect(!fails)
    } catch is Ended {
      #expect(fails)
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }
    #expect(names.sorted() == ["notes.txt", "runs.csv", "y.safetensors"])
    #expect(try scratch.lines("out/runs.csv") == ["a", "b"])
    #expect(FileManager.default.contents(atPath: path + "/y.safetensors")?.count == 1 << 20)
  }

  @Test("a warning that came before anything was done does not put the job back for ever")
  func withoutProgress() async throws {
    let scratch = try Scratch(), interruption = Interruption()
    let place = try RunPlace(scratch("out"), onScratch: false)
    var notes: [String] = []
    await #expect(throws: Interrupted.self) {
      try await place.use(requeues: true, interruption, note: { notes.append($0) }) { _ in
        interruption.request(SIGUSR1)
        throw Interrupted()
      }
    }
    #expect(interruption.isWarning && notes.count == 1)
  }

  @Test func theNameOfAJob() {
    #expect(SlurmJob.current([:]) == nil && SlurmJob.current(["SLURM_JOB_ID": ""]) == nil)
    #expect(SlurmJob.current(["SLURM_JOB_ID": "7"])?.name == "7")
    #expect(
      SlurmJob.current(["SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"])?.name
        == "7_2")
  }
}
