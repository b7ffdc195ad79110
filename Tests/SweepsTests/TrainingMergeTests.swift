import Attention
import Basics
import Foundation
import Records
import Testing
import Trainings

@testable import Presets
@testable import Sweeps

/// Trainings in parts: several rows a training, and the points of its curve in a table of their own.
@Suite struct TrainingMergeTests {
  private let sweep: FakeSweep
  private let jobs: [TrainingJob]

  init() throws {
    sweep = try FakeSweep("experiment: training\ntask: mqar\nseed: [1, 2, 3, 4]\n")
    jobs = sweep.preset.trainings
  }

  /// Writes a part whose trainings have a further evaluation and two points each; of those that are not finished the own row
  /// is missing.
  private func part(_ text: String, in out: String = "out", finished: (Int) -> Bool = { _ in true }) throws {
    let shard = try #require(Shard(text)), folder = try RunFolder(shard.path(in: sweep.scratch(out)))
    let selection = try PresetSelection(sweep.preset, shard: shard, only: nil, catalog: .standard)
    _ = try selection.record(in: folder)
    let runs = try RowWriter(path: folder.runs, of: TrainingRow.self)
    let curves = try RowWriter(path: folder.curves, of: CurveRow.self)
    let steps = try RowWriter(path: folder.steps, of: StepRow.self)
    for (index, job) in jobs.enumerated() where shard.holds(index + 1) {
      for step in [10, 20] {
        var point = CurveRow()
        (point.runID, point.step, point.tokens, point.trainLoss) = (job.id, step, 8 * step, 1 / Double(step))
        try curves.append(point)
        var row = StepRow()
        (row.runID, row.step, row.tokens, row.loss) = (job.id, step, 8 * step, 1 / Double(step))
        try steps.append(row)
      }
      var row = TrainingRow()
      (row.runID, row.task, row.seed, row.status) = (job.id, "mqar", job.seed, .ok)
      (row.attention, row.modelConfiguration, row.trainingConfiguration) = ("full", "width=8", "steps=20")
      (row.parameters, row.parametersNonEmbedding, row.steps, row.threads) = (10, 5, 20, 1)
      (row.isa, row.machine, row.evaluation, row.startedAt) = (
        "portable", "M", .changed, "2026-11-28T10:00:00Z"
      )
      try runs.append(row)
      row.evaluation = .test
      if finished(index + 1) { try runs.append(row) }
    }
    try sweep.environment(of: folder.path, start: "2026-11-28T09:00:00Z", machine: "M")
  }

  @Test("runs and curves are those of one run")
  func equalsOneRun() throws {
    try part("1/1", in: "whole")
    for index in [2, 3, 1] { try part("\(index)/3") }
    let merge = try sweep.merge()
    for table in ["runs.csv", "curves.csv", "steps.csv"] {
      #expect(try sweep.text("out/\(table)") == sweep.text("whole/\(table)"))
    }
    #expect(merge.status.count(.done) == 4)
    #expect(try sweep.merge().written.isEmpty)
  }

  @Test("a training that goes on has neither rows nor points yet, and gets all of them in the end")
  func unfinished() throws {
    try part("1/2") { $0 != 3 }
    try part("2/2")
    let status = try sweep.merge().status
    // What merges holds its folder itself: that is no running task.
    #expect(status.count(.done) == 3 && status.count(.missing) == 1 && status.count(.running) == 0)
    let points = try CurveRow.read(sweep.scratch("out/curves.csv")).map(\.runID)
    #expect(points.count == 6 && !points.contains(jobs[2].id))
    try FileManager.default.removeItem(atPath: sweep.scratch("out/shards/1-of-2"))
    try part("1/2")
    #expect(try sweep.merge().status.isComplete)
    try part("1/1", in: "whole")
    #expect(try sweep.text("out/curves.csv") == sweep.text("whole/curves.csv"))
  }
}
