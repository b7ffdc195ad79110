import Basics
import Foundation
import LabTestSupport
import Records
import Testing

/// Runs of the program with misbehaving variants: every status, interruption, continuation.
@Suite(.serialized) struct RunCommandTests {
  private static let yaml = """
    n: [8, 16]
    pass: [forward, backward]
    head_dim: 4
    repeats: 2
    threads: 1
    variants: [plain, {plain: {left: [2, 4]}}]

    """

  private func rows(_ scratch: Scratch, _ folder: String = "out") throws -> [MeasurementRow] {
    try MeasurementRow.read("\(scratch.path)/\(folder)/measurements.csv")
  }

  @Test func measuresEveryCellOnceAndSaysWhatItFound() throws {
    let scratch = try Scratch()
    let preset = try scratch.write("tiny.yaml", Self.yaml)
    let result = try BuiltProgram.fakes.run("run", preset, "--out", "\(scratch.path)/out")
    #expect(result.code == 0, "\(result.errors)")
    let rows = try rows(scratch)
    #expect(rows.count == 12)
    #expect(Set(rows.map(\.cellID)).count == 12)
    #expect(rows.allSatisfy { $0.status == .ok && $0.secondsMedian != nil && $0.errorRel != nil })
    // The whole pattern is full attention; a window is not.
    #expect(rows.allSatisfy { ($0.errorRel ?? 1) < 1e-5 || $0.configuration != "left=1000000" })
    #expect(rows.contains { $0.configuration == "left=2" && ($0.errorRel ?? 0) > 0.01 })
    #expect(
      rows.map(\.memoryBytes)
        == rows.map { $0.pass == .forward ? Int($0.predictedBytes ?? 0) : $0.memoryBytes })
    // Variants are interleaved: the first three rows are three configurations at one length.
    #expect(Set(rows.prefix(3).map(\.configuration)).count == 3)
    #expect(result.output.contains("measured at n = 8, 16; --metric time shows all of them"))
    #expect(result.output.hasSuffix("report: \(scratch.path)/out/report.html\n"))
    let page = try String(contentsOfFile: "\(scratch.path)/out/report.html", encoding: .utf8)
    #expect(
      page.hasPrefix("<!doctype html>") && !page.contains("src=\"http") && !page.contains("href=\"http"))
    let environment = try String(contentsOfFile: "\(scratch.path)/out/environment.json", encoding: .utf8)
    #expect(environment.contains("\"preset_hash\"") && environment.contains("\"processor\""))
  }

  @Test func failureIsARow() throws {
    let scratch = try Scratch()
    let preset = try scratch.write(
      "bad.yaml",
      """
      n: 8
      head_dim: [4, 65]
      repeats: 1
      threads: 1
      time_limit: 3s
      memory_limit: 128MiB
      variants: [plain, crashing, wrong, greedy, hungry, slow]
      """)
    let result = try BuiltProgram.fakes.run("run", preset, "--out", "\(scratch.path)/out")
    #expect(result.code == 0, "\(result.errors)")
    let rows = try rows(scratch)
    func row(_ variant: String, _ headDim: Int = 4) throws -> MeasurementRow {
      try #require(rows.first { $0.variant == variant && $0.headDim == headDim })
    }
    #expect(try row("plain").status == .ok)
    #expect(try row("crashing").status == .crashed)
    #expect(try row("crashing").reason.contains("it crashes, as it should"))
    #expect(try row("wrong").status == .failedCheck)
    #expect(try row("greedy").status == .outOfMemory)
    #expect(try row("hungry").status == .timeout || row("hungry").status == .outOfMemory)
    #expect(try row("slow").status == .timeout)
    #expect(try row("slow").reason == "longer than 3.00 s")
    #expect(try row("plain", 65).status == .unsupported)
    #expect(try row("plain", 65).reason == "head dim: 65 is not allowed; it takes at most 64")
    for failed in rows where failed.status != .ok {
      #expect(failed.secondsMedian == nil && failed.errorRel == nil && failed.memoryBytes == nil)
      #expect(!failed.reason.isEmpty)
    }
  }

  @Test func aVariantThatComputesInFloat32AloneSaysSo() throws {
    let scratch = try Scratch()
    let preset = try scratch.write(
      "half.yaml", "n: 8\nhead_dim: 4\nrepeats: 1\nprecision: [float32, bfloat16]\nvariants: plain\n")
    let result = try BuiltProgram.fakes.run("run", preset, "--out", "\(scratch.path)/out")
    #expect(result.code == 0, "\(result.errors)")
    let rows = try rows(scratch)
    #expect(rows.map(\.status) == [.ok, .unsupported])
    #expect(rows.map(\.precision) == [.float32, .bfloat16])
    #expect(rows[1].reason == "precision: bfloat16 is not allowed; it takes float32 with plain")
    #expect(try #require(rows[0].errorOracleRel) < 1e-5)
  }

  @Test func memoryThatNoLedgerSeesIsSeen() throws {
    let scratch = try Scratch()
    let preset = try scratch.write(
      "hungry.yaml", "n: 8\nhead_dim: 4\nrepeats: 1\nmemory_limit: 64MiB\nvariants: hungry\n")
    let result = try BuiltProgram.fakes.run("run", preset, "--out", "\(scratch.path)/out")
    #expect(result.code == 0, "\(result.errors)")
    let row = try #require(try rows(scratch).first)
    #expect(row.status == .outOfMemory)
    #expect(row.reason.hasSuffix("64.0 MiB allowed"))
  }

  @Test func killedInTheMiddleItGoesOnWithoutALostOrDoubledRow() throws {
    let scratch = try Scratch()
    let preset = try scratch.write("tiny.yaml", Self.yaml)
    let whole = ["run", preset, "--out", "\(scratch.path)/out"]
    var kills = 0
    for round in 1...3 {
      let (process, _) = try BuiltProgram.fakes.start(whole, scratch: scratch)
      // Wait for a few rows more than the rounds before left, then kill it as nothing can refuse.
      let file = "\(scratch.path)/out/measurements.csv"
      while process.isRunning, ((try? scratch.lines("out/measurements.csv").count) ?? 0) < 3 * round {
        usleep(2000)
      }
      if process.isRunning {
        kill(process.processIdentifier, SIGKILL)
        kills += 1
      }
      process.waitUntilExit()
      // A run that dies inside a write leaves half a line; the next run must not take it for a row.
      let handle = try #require(FileHandle(forWritingAtPath: file))
      try handle.seekToEnd()
      try handle.write(contentsOf: Data("tiny,tiny,plain,left=2,forw".utf8))
      try handle.close()
    }
    #expect(kills == 3)
    let last = try BuiltProgram.fakes.run(whole)
    #expect(last.code == 0, "\(last.errors)")
    #expect(last.errors.contains("removed a torn last line (27 bytes)"))
    let rows = try rows(scratch)
    #expect(rows.count == 12)
    #expect(Set(rows.map(\.cellID)).count == 12)
    let environment = try String(contentsOfFile: "\(scratch.path)/out/environment.json", encoding: .utf8)
    #expect(environment.components(separatedBy: "\"memory_limit_bytes\"").count - 1 == 4)
  }

  @Test func interruptedItStopsItsCellAndSaysHowToGoOn() throws {
    let scratch = try Scratch()
    let preset = try scratch.write(
      "slow.yaml", "n: [4, 8]\nhead_dim: 4\nrepeats: 3\nvariants: [plain, slow]\n")
    let (process, files) = try BuiltProgram.fakes.start(
      ["run", preset, "--out", "\(scratch.path)/out"], scratch: scratch)
    while process.isRunning, ((try? scratch.lines("out/measurements.csv").count) ?? 0) < 2 {
      usleep(2000)
    }
    kill(process.processIdentifier, SIGINT)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 130)
    let errors = try String(contentsOfFile: files.errors, encoding: .utf8)
    #expect(errors.contains("attnlab: interrupted; the same command continues"))
    #expect(try rows(scratch).map(\.variant) == ["plain"])
  }

  @Test func aFinishedRunSaysSoAndFreshKeepsTheOldOne() throws {
    let scratch = try Scratch()
    let preset = try scratch.write("one.yaml", "n: 8\nhead_dim: 4\nrepeats: 1\nvariants: plain\n")
    let arguments = ["run", preset, "--out", "\(scratch.path)/out"]
    #expect(try BuiltProgram.fakes.run(arguments).code == 0)
    let before = try rows(scratch)
    let again = try BuiltProgram.fakes.run(arguments)
    #expect(again.code == 0)
    #expect(
      again.errors.contains(
        "\(scratch.path)/out is finished (1 row); these are its results, --fresh measures again"))
    #expect(try rows(scratch) == before)
    let fresh = try BuiltProgram.fakes.run(arguments + ["--fresh"])
    #expect(fresh.errors.contains("kept the earlier results as \(scratch.path)/out.1"))
    #expect(try rows(scratch, "out.1") == before)
    #expect(try rows(scratch).count == 1)
  }

  @Test func rowsOfAnotherPresetAreNotMixed() throws {
    let scratch = try Scratch()
    let preset = try scratch.write("one.yaml", "n: 8\nhead_dim: 4\nrepeats: 1\nvariants: plain\n")
    let arguments = ["run", preset, "--out", "\(scratch.path)/out"]
    #expect(try BuiltProgram.fakes.run(arguments).code == 0)
    let changed = try BuiltProgram.fakes.run(arguments + ["--set", "n=16"])
    #expect(changed.code == 2)
    #expect(
      changed.errorLines.last?.contains("plain at n = 8 (forward) is no cell of \(preset) as it is now")
        == true)
    // A length more is the same experiment, continued.
    let more = try BuiltProgram.fakes.run(arguments + ["--set", "n=[8, 16]"])
    #expect(more.code == 0, "\(more.errors)")
    #expect(try rows(scratch).map(\.queryLength) == [8, 16])
  }

  @Test func twoRunsDoNotShareAFolder() throws {
    let scratch = try Scratch()
    let preset = try scratch.write("slow.yaml", "n: 4\nhead_dim: 4\nrepeats: 2\nvariants: [plain, slow]\n")
    let arguments = ["run", preset, "--out", "\(scratch.path)/out"]
    let (first, _) = try BuiltProgram.fakes.start(arguments, scratch: scratch)
    while first.isRunning, ((try? scratch.lines("out/measurements.csv").count) ?? 0) < 2 {
      usleep(2000)
    }
    let second = try BuiltProgram.fakes.run(arguments)
    kill(first.processIdentifier, SIGKILL)
    first.waitUntilExit()
    #expect(second.code == 2)
    #expect(
      second.errorLines.last
        == "attnlab run: \(scratch.path)/out: another run is writing here; wait for it, or choose a folder with --out"
    )
  }

  @Test func dryRunPredictsAndWritesNothing() throws {
    let scratch = try Scratch()
    let preset = try scratch.write("tiny.yaml", Self.yaml)
    let result = try BuiltProgram.fakes.run("run", preset, "--out", "\(scratch.path)/out", "--dry-run")
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output.contains("12 cells, about "))
    #expect(!FileManager.default.fileExists(atPath: "\(scratch.path)/out"))
    let only = try BuiltProgram.fakes.run("run", preset, "--only", "slow", "--dry-run")
    #expect(only.code == 2)
    #expect(only.errors == "attnlab run: --only slow: the preset has no such variant; it has plain\n")
  }

  #if os(Linux)
    @Test func aFullDiskEndsInOneLineAndKeepsTheRows() throws {
      var writer = try RowWriterProbe()
      let error = #expect(throws: UsageError.self) { try writer.append() }
      #expect(
        error?.description.hasPrefix("/dev/full: No space left on device; the rows before are kept") == true)
    }

    /// `/dev/full` refuses every write as a full disk does.
    private struct RowWriterProbe {
      init() throws {}
      mutating func append() throws(UsageError) {
        let writer = try RowWriter(path: "/dev/full", columns: ["a"])
        try writer.append(["1"])
      }
    }
  #endif
}
