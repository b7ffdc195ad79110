import Foundation
import LabTestSupport
import Records
import Testing

/// What a run that goes on takes over, measures again, and refuses.
@Suite(.serialized) struct ResumeTests {
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func run(_ preset: String, _ flags: String...) throws -> BuiltProgram.Result {
    try BuiltProgram.fakes.run(["run", preset, "--out", scratch("out")] + flags)
  }

  private func statuses() throws -> [MeasurementStatus?] {
    try MeasurementRow.read(scratch("out/measurements.csv")).map(\.status)
  }

  @Test("a cell that a time limit ended is measured again under a larger one, in its place")
  func largerLimit() throws {
    let preset = try scratch.write(
      "p.yaml", "n: [4, 8]\nhead_dim: 4\nwarmup: 0\nrepeats: 1\nthreads: 1\nvariants: slow\n")
    // A pass takes a second: on a busy machine the limit is noticed late, but not that late.
    _ = try run(preset, "--time-limit", "1ms")
    #expect(try statuses() == [.timeout, .timeout])
    let before = try scratch.lines("out/measurements.csv")
    // The same limit, or a smaller one, changes nothing.
    for limit in ["1ms", "0.5ms"] {
      #expect(try run(preset, "--time-limit", limit).errors.contains("is finished"))
    }
    #expect(try scratch.lines("out/measurements.csv") == before)
    let larger = try run(preset, "--time-limit", "1m")
    #expect(larger.code == 0 && larger.errors.contains("2 cells that had not ended ok"), "\(larger.errors)")
    #expect(try statuses() == [.ok, .ok])
  }

  @Test("--retry measures again what crashed")
  func retry() throws {
    let preset = try scratch.write(
      "p.yaml", "n: 4\nhead_dim: 4\nrepeats: 1\nthreads: 1\nvariants: [plain, crashing]\n")
    #expect(try run(preset).code == 0)
    let before = try MeasurementRow.read(scratch("out/measurements.csv"))
    #expect(try run(preset).errors.contains("is finished"))
    #expect(try run(preset, "--retry").code == 0)
    let after = try MeasurementRow.read(scratch("out/measurements.csv"))
    #expect(after.map(\.status) == [.ok, .crashed] && after[0] == before[0])
    #expect(after[1].startedAt > before[1].startedAt)
  }

  @Test(
    "rows of which nobody can tell the machine are not added to",
    arguments: [
      nil, "[]", "{}", "null", "{\"machine\": {}}", "SYSTEM", "MEMORY", "PROCESSORS",
    ])
  func environment(_ change: String?) throws {
    let preset = try scratch.write(
      "p.yaml", "n: [4, 8]\nhead_dim: 4\nrepeats: 1\nthreads: 1\nvariants: plain\n")
    #expect(try run(preset).code == 0)
    let file = scratch("out/environment.json")
    let text = try String(contentsOfFile: file, encoding: .utf8)
    let changed: String? =
      switch change {
      case "SYSTEM"?: text.replacing(/"system": "[^"]*"/, with: "\"system\": \"Plan 9\"")
      case "MEMORY"?: text.replacing(/"memory_bytes": \d+/, with: "\"memory_bytes\": 1048576")
      case "PROCESSORS"?: text.replacing(/"processors": \d+/, with: "\"processors\": 999")
      default: change
      }
    try FileManager.default.removeItem(atPath: file)
    if let changed { _ = try scratch.write("out/environment.json", changed) }
    let rows = try scratch.lines("out/measurements.csv")
    let refused = try run(preset, "--set", "n=[4,8,16]")
    #expect(refused.code == 2, "\(refused.errors)")
    #expect(refused.errors.contains("--fresh starts over"), "\(refused.errors)")
    #expect(try scratch.lines("out/measurements.csv") == rows)
  }

  @Test("trainings and measurements do not share a folder")
  func kinds() throws {
    let measured = try scratch.write("p.yaml", "n: 4\nhead_dim: 4\nrepeats: 1\nthreads: 1\nvariants: plain\n")
    #expect(try run(measured).code == 0)
    let refused = try BuiltProgram.attnlab.run("run", "quickstart-training", "--out", scratch("out"))
    #expect(refused.code == 2 && refused.errors.contains("has trainings only"), "\(refused.errors)")
    let single = try BuiltProgram.attnlab.run(
      "train", "copying", "--steps", "1", "--checkpoint", scratch("out"))
    #expect(single.code == 2 && single.errors.contains("it holds results of attnlab run"), "\(single.errors)")
    #expect(try statuses() == [.ok])
  }
}
