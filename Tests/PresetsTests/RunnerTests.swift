import Attention
import Basics
import Foundation
import LabTestSupport
import Measuring
import Processes
import Records
import Testing

@testable import Presets

/// The runner, with cells that an executor of the test makes up: no process is started.
@Suite struct RunnerTests {
  let scratch: Scratch
  let preset: Preset
  /// Held for all runs of a test: a child that another test forks inherits the lock until it executes its program, so a
  /// lock that is dropped may still be held for a moment.
  let folder: RunFolder

  init() throws {
    scratch = try Scratch()
    folder = try RunFolder(scratch("out"))
    preset = try Preset(
      yaml: "n: [8, 16, 32]\nvariants: [full]\nthreads: 1\nisa: portable\n", file: "p.yaml",
      catalog: .standard, kinds: .standard)
  }

  /// Says what is asked of it, and ends the run at a cell.
  private struct Invented: Executor {
    var statuses: [Int: MeasurementStatus] = [:]
    var stopsAt: Int?
    let asked: Asked

    func rows(
      of cells: [Cell], in folder: RunFolder
    ) -> AsyncThrowingStream<FinishedCell<MeasurementExperiment>, any Error> {
      let made = cells.map { cell -> FinishedCell<MeasurementExperiment> in
        var row = MeasurementRow(cell)
        (row.status, row.startedAt) = (statuses[cell.queryLength] ?? .ok, Timestamp.now())
        if row.status == .ok { row.secondsMedian = Double(cell.queryLength) / 1000 }
        return FinishedCell(cell, [row])
      }
      let queue = Queue(made, stopsAt: stopsAt, asked)
      return AsyncThrowingStream { try await queue.next() }
    }
  }

  private actor Queue {
    private var left: ArraySlice<FinishedCell<MeasurementExperiment>>
    private let stopsAt: Int?
    private let asked: Asked

    init(_ made: [FinishedCell<MeasurementExperiment>], stopsAt: Int?, _ asked: Asked) {
      (left, self.stopsAt, self.asked) = (made[...], stopsAt, asked)
    }

    func next() async throws -> FinishedCell<MeasurementExperiment>? {
      guard let next = left.popFirst() else { return nil }
      if next.cell.queryLength == stopsAt { throw Interrupted() }
      await asked.add(next.cell.queryLength)
      return next
    }
  }

  private actor Asked {
    private(set) var lengths: [Int] = []
    func add(_ length: Int) { lengths.append(length) }
  }

  /// Runs the preset; the lengths that were asked for, and what came of it.
  private func run(
    _ statuses: [Int: MeasurementStatus] = [:], stopsAt: Int? = nil, retries: Bool = false
  ) async throws -> (asked: [Int], outcome: Runner<MeasurementExperiment>.Outcome?) {
    let asked = Asked()
    let executor = Invented(statuses: statuses, stopsAt: stopsAt, asked: asked)
    let runner = Runner(
      MeasurementExperiment.self, try preset.cells(), in: folder,
      RunSetting(preset, catalog: .standard, retries: retries))
    do {
      let outcome = try await runner.run { _ in executor }
      return (await asked.lengths, outcome)
    } catch is Interrupted {
      return (await asked.lengths, nil)
    }
  }

  private func lengths() throws -> [Int?] {
    try MeasurementRow.read(scratch("out/measurements.csv")).map(\.queryLength)
  }

  @Test("a run that was stopped goes on where it was, and a finished one asks for nothing")
  func resumes() async throws {
    let first = try await run(stopsAt: 32)
    #expect(first.asked == [8, 16] && first.outcome == nil)
    #expect(try lengths() == [8, 16])
    let second = try await run()
    #expect(second.asked == [32] && second.outcome?.kept == 2 && second.outcome?.added == 1)
    let third = try await run()
    #expect(third.asked.isEmpty && third.outcome?.kept == 3 && third.outcome?.rows.count == 3)
  }

  @Test("a row that is no result stays until there is another, which takes its place")
  func replaces() async throws {
    _ = try await run([16: .killed])
    let stopped = try await run(stopsAt: 16)
    #expect(stopped.asked.isEmpty)
    #expect(try MeasurementRow.read(scratch("out/measurements.csv")).map(\.status) == [.ok, .killed, .ok])
    let again = try await run()
    #expect(again.asked == [16] && again.outcome?.replaced == 1)
    #expect(try lengths() == [8, 16, 32])
    #expect(try MeasurementRow.read(scratch("out/measurements.csv")).map(\.status) == [.ok, .ok, .ok])
  }

  @Test("what failed of itself is run again only on request")
  func retries() async throws {
    _ = try await run([8: .crashed])
    #expect(try await run().asked.isEmpty)
    #expect(try await run(retries: true).asked == [8])
  }

  @Test("a torn last line is removed, and its cell is run again")
  func torn() async throws {
    _ = try await run()
    let file = scratch("out/measurements.csv")
    let text = try String(contentsOfFile: file, encoding: .utf8)
    try Data(text.dropLast(5).utf8).write(to: URL(fileURLWithPath: file))
    let again = try await run()
    #expect(again.asked == [32] && (again.outcome?.repaired ?? 0) > 0)
  }

  @Test("rows of another preset are refused, and nothing is written")
  func foreign() async throws {
    _ = try await run()
    let file = scratch("out/measurements.csv")
    let before = try String(contentsOfFile: file, encoding: .utf8)
    let other = try Preset(
      yaml: "n: [64]\nvariants: [full]\nthreads: 1\nisa: portable\n", file: "p.yaml", catalog: .standard,
      kinds: .standard)
    let error = await #expect(throws: UsageError.self) {
      try await Runner(
        MeasurementExperiment.self, try other.cells(), in: folder,
        RunSetting(other, catalog: .standard)
      ).run { _ in Invented(asked: Asked()) }
    }
    #expect(error?.description.contains("is no cell of p.yaml as it is now") == true)
    #expect(try String(contentsOfFile: file, encoding: .utf8) == before)
  }
}
