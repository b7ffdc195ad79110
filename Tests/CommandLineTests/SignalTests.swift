import Foundation
import LabTestSupport
import Records
import Testing

/// What signals make of commands, runs and their children; what cannot be written.
@Suite(.serialized) struct SignalTests {
  static let signals = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2]
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  /// Waits until a condition holds, half a minute at most.
  private func wait(_ condition: () -> Bool) {
    for _ in 0..<6000 {
      if condition() { return }
      usleep(5000)
    }
  }

  @Test("a one-shot command ends at once, exit 130, one line", arguments: signals)
  func oneShot(_ signal: Int32) throws {
    let arguments = ["measure", "slow", "--n", "4", "--head-dim", "4", "--peak-gflops", "1"]
    let (process, files) = try BuiltProgram.fakes.start(arguments, scratch: scratch)
    usleep(700_000)
    kill(process.processIdentifier, signal)
    wait { !process.isRunning }
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 130)
    #expect(try String(contentsOfFile: files.errors, encoding: .utf8) == "attnlab: interrupted\n")
  }

  @Test("a signal in the middle of a large file leaves nothing half-written")
  func halfWritten() throws {
    let out = scratch("pattern.npy")
    func halves() -> [String] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: scratch.path)) ?? []
      return names.filter { $0.hasSuffix(".partial") }
    }
    var hits = 0
    for round in 0..<5 {
      // 32 MiB, written and flushed to the disk.
      let arguments = ["mask", "full", "--n", "4096", "--heads", "2", "--out", out, "--json"]
      let (process, _) = try BuiltProgram.attnlab.start(arguments, scratch: scratch)
      while process.isRunning, halves().isEmpty { usleep(300) }
      if !halves().isEmpty { hits += 1 }
      kill(process.processIdentifier, Self.signals[round])
      process.waitUntilExit()
      #expect(halves().isEmpty)
      try? FileManager.default.removeItem(atPath: out)
    }
    #expect(hits > 0, "no signal came while a file was being written")
  }

  private func startRun(
    _ variant: String = "plain"
  ) throws -> (process: Process, files: (output: String, errors: String)) {
    let preset = try scratch.write(
      "p.yaml",
      "n: 64\nhead_dim: 4\nrepeats: 2\nthreads: 1\npass: [forward, backward]\nvariants: \(variant)\n")
    return try BuiltProgram.fakes.start(["run", preset, "--out", scratch("out")], scratch: scratch)
  }

  #if os(Linux)
    @Test("a cell that somebody kills is run again, and is no out_of_memory", arguments: [SIGKILL, SIGTERM])
    func killedCell(_ signal: Int32) throws {
      let (process, _) = try startRun()
      wait { !children(of: process).isEmpty }
      for child in children(of: process) { kill(child, signal) }
      wait { !process.isRunning }
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
      let rows = try MeasurementRow.read(scratch("out/measurements.csv"))
      #expect(rows.map(\.status) == [.ok, .ok], "\(rows.map(\.reason))")
    }

    @Test("a hangup of the group under nohup reaches no cell")
    func hangup() throws {
      let before = signal(SIGHUP, SIG_IGN)
      let (process, _) = try startRun()
      _ = signal(SIGHUP, before)
      wait { !children(of: process).isEmpty }
      let group = getpgid(children(of: process).first ?? 0)
      #expect(group != getpgid(process.processIdentifier))
      kill(process.processIdentifier, SIGHUP)
      wait { !process.isRunning }
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
      #expect(try MeasurementRow.read(scratch("out/measurements.csv")).map(\.status) == [.ok, .ok])
    }

    @Test("an interrupted run takes its cell with it", arguments: signals)
    func interruptedRun(_ signal: Int32) throws {
      let (process, files) = try startRun("slow")
      wait { !children(of: process).isEmpty }
      kill(process.processIdentifier, signal)
      wait { !process.isRunning }
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 130)
      #expect(children(of: process).isEmpty)
      let errors = try String(contentsOfFile: files.errors, encoding: .utf8)
      #expect(errors.hasSuffix("attnlab: interrupted; the same command continues\n"), "\(errors)")
    }

    @Test(
      "what standard output does not take is an error",
      arguments: [["list"], ["--help"], ["list", "--json"]])
    func fullOutput(_ arguments: [String]) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: BuiltProgram.attnlab.path).standardizedFileURL
      process.arguments = arguments
      process.standardOutput = FileHandle(forWritingAtPath: "/dev/full")
      let errors = scratch("errors")
      _ = FileManager.default.createFile(atPath: errors, contents: nil)
      process.standardError = FileHandle(forWritingAtPath: errors)
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 2)
      let text = try String(contentsOfFile: errors, encoding: .utf8)
      #expect(text.hasSuffix(": standard output: No space left on device\n"), "\(text)")
    }
  #endif

  @Test(
    "a disk that takes no more ends a run in one line; the same command continues",
    arguments: [1, 2, 4, 6, 8])
  func fullDisk(_ blocks: Int) throws {
    let preset = try scratch.write(
      "tiny.yaml",
      "n: [4, 8, 16]\nhead_dim: 4\nrepeats: 1\nthreads: 1\nvariants: [plain, {plain: {left: [2, 4]}}]\n")
    let arguments = ["run", preset, "--out", scratch("out")]
    let words = arguments.map { "'\($0)'" }.joined(separator: " ")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    // A limit of a file's size, in blocks of 512 bytes, is as good as a full disk.
    process.arguments = [
      "-c", "ulimit -f \(blocks); exec '\(BuiltProgram.fakes.path)' \(words) 2>/dev/null >/dev/null",
    ]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: scratch("out"))) ?? []
    #expect(!names.contains { $0.hasSuffix(".partial") })
    let again = try BuiltProgram.fakes.run(arguments)
    #expect(again.code == 0, "\(again.errors)")
    let rows = try MeasurementRow.read(scratch("out/measurements.csv"))
    #expect(rows.count == 9 && Set(rows.map(\.cellID)).count == 9)
  }
}

#if os(Linux)
  /// The processes that a run started, by what it told them of itself.
  func children(of process: Process) -> [Int32] {
    let marker = "ATTNLAB_RUNNER=\(process.processIdentifier)\0"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { Int32($0) }.filter { number in
      let data = FileManager.default.contents(atPath: "/proc/\(number)/environ") ?? Data()
      return String(decoding: data, as: UTF8.self).contains(marker)
    }
  }
#endif
