import Attention
import Basics
import Foundation
import LabTestSupport
import Measuring
import Records

@testable import Presets
@testable import Sweeps

/// Parts of a preset with rows that nobody measured: no program is started.
struct FakeSweep {
  let scratch: Scratch
  let preset: Preset

  init(_ yaml: String = "n: [8, 16, 24, 32, 40]\nvariants: [full, lsh]\nthreads: 1\nisa: portable\n") throws {
    scratch = try Scratch()
    preset = try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard)
  }

  /// The row of a cell: always the same, but for what is said.
  static func row(_ cell: Cell, _ change: (inout MeasurementRow) -> Void = { _ in }) -> MeasurementRow {
    var row = MeasurementRow(cell)
    (row.status, row.startedAt) = (.ok, "2026-11-28T10:00:00Z")
    (row.secondsMedian, row.gflops) = (Double(cell.queryLength) / 1e4, 0.1 + 0.2)
    (row.machine, row.host, row.commit, row.program) = ("M", "node1", "c0ffee", "00ff")
    change(&row)
    return row
  }

  /// Writes the folder of a part as a run would.
  /// - Returns: its path.
  @discardableResult
  func part(
    _ text: String, in out: String = "out", cells wanted: ClosedRange<Int> = 1...99, machine: String = "M",
    change: (Int, inout MeasurementRow) -> Void = { _, _ in }
  ) throws -> String {
    let shard = Shard(text) ?? .whole, path = shard.path(in: scratch(out))
    let folder = try RunFolder(path)
    let selection = try PresetSelection(preset, shard: shard, only: nil, catalog: .standard)
    _ = try selection.record(in: folder)
    let numbered = try PresetNumbering(preset).cells(of: MeasurementExperiment.self).cells
      .filter { shard.holds($0.number) && wanted.contains($0.number) }
    let writer = try RowWriter(path: path + "/measurements.csv", of: MeasurementRow.self)
    for (number, cell) in numbered {
      try writer.append(
        Self.row(cell) {
          $0.machine = machine
          change(number, &$0)
        })
    }
    try environment(of: path, start: "2026-11-28T09:0\(shard.index):00Z", machine: machine)
    return path
  }

  func environment(of path: String, start: String, machine: String, hash: String? = nil) throws {
    let record = JSONValue.object([
      "preset": .string("p"), "preset_hash": .string(hash ?? Fingerprint.of(preset.source)),
      "preset_text": .string(preset.source),
      "sessions": .array([
        .object(["started_at": .string(start), "host": .string("node1"), "machine": .string(machine)])
      ]),
    ])
    try RunFolder.replace(path + "/environment.json", with: record.pretty + "\n")
  }

  func merge(_ names: [String] = ["out"], into out: String = "out") throws -> Merge {
    try Merge(names.map { scratch($0) }, into: scratch(out), kinds: .standard)
  }

  func status(_ name: String = "out") throws -> SweepStatus {
    try SweepStatus(of: scratch(name), kinds: .standard)
  }

  func text(_ name: String) throws -> String { try String(contentsOfFile: scratch(name), encoding: .utf8) }

  /// All files below a folder with what they hold.
  func contents(of name: String) throws -> [String: Data] {
    let root = scratch(name)
    let names = try FileManager.default.subpathsOfDirectory(atPath: root)
    return Dictionary(
      uniqueKeysWithValues: names.compactMap { file in
        FileManager.default.contents(atPath: root + "/" + file).map { (file, $0) }
      })
  }
}
