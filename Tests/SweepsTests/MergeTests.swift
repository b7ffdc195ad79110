import Attention
import Basics
import Foundation
import LabTestSupport
import Measuring
import Records
import Testing

@testable import Presets
@testable import Sweeps

/// Parts put together, from rows that nobody measured.
@Suite struct MergeTests {
  @Test(
    "the merged table is that of one run, byte for byte, whatever the number of parts",
    arguments: [1, 2, 3, 4, 10, 13])
  func equalsOneRun(parts: Int) throws {
    let sweep = try FakeSweep()
    try sweep.part("1/1", in: "whole")
    for index in 1...parts { try sweep.part("\(index)/\(parts)", in: parts == 1 ? "one/a" : "out") }
    let merge = try sweep.merge(parts == 1 ? ["one/a"] : ["out"])
    #expect(try sweep.text("out/measurements.csv") == sweep.text("whole/measurements.csv"))
    #expect(merge.status.count(.done) == 10 && merge.status.isComplete && merge.machines == ["M"])
  }

  @Test("merging again writes nothing, and the parts stay as they are")
  func idempotent() throws {
    let sweep = try FakeSweep()
    for index in 1...4 { try sweep.part("\(index)/4") }
    let before = try sweep.contents(of: "out/shards")
    #expect(try sweep.merge().written.count == 3)
    let merged = try sweep.contents(of: "out")
    #expect(try sweep.merge().written.isEmpty)
    // Its own result is an input like the others.
    #expect(try sweep.merge(["out", "out/shards/1-of-4"], into: "out").written.isEmpty)
    #expect(try sweep.contents(of: "out") == merged)
    #expect(try sweep.contents(of: "out/shards") == before)
  }

  @Test("parts that come later are added, in any order")
  func increments() throws {
    let sweep = try FakeSweep()
    for index in [3, 1, 4, 2] {
      try sweep.part("\(index)/4")
      _ = try sweep.merge()
    }
    try sweep.part("1/1", in: "whole")
    #expect(try sweep.text("out/measurements.csv") == sweep.text("whole/measurements.csv"))
    // A part whose folder is gone is not forgotten.
    try FileManager.default.removeItem(atPath: sweep.scratch("out/shards/2-of-4"))
    #expect(try sweep.merge().status.count(.done) == 10)
  }

  @Test("a torn last line is none, at whatever byte it was torn")
  func torn() throws {
    let sweep = try FakeSweep()
    let part = try sweep.part("1/2"), file = part + "/measurements.csv"
    try sweep.part("2/2")
    let whole = try Data(contentsOf: URL(fileURLWithPath: file))
    let header = (whole.firstIndex(of: 0x0A) ?? 0) + 1
    let last = (whole.dropLast().lastIndex(of: 0x0A) ?? 0) + 1
    for end in [1, header / 2, header, header + 1, last, last + 1, last + 40, whole.count - 1] {
      let torn = whole.prefix(end)
      try torn.write(to: URL(fileURLWithPath: file))
      let out = "out-\(end)"
      let merge = try sweep.merge(["out"], into: out)
      let lines = torn.count { $0 == 0x0A }
      #expect(merge.status.count(.done) == 5 + max(0, lines - 1))
      #expect(merge.notes.count == (torn.last == 0x0A ? 0 : 1))
      #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == torn)
    }
  }

  @Test("a cell that was done counts before one that was not, and of failures the last")
  func failures() throws {
    let sweep = try FakeSweep()
    try sweep.part("1/1", in: "a") { number, row in
      if number == 1 { row.fail(.crashed, "first") }
      if number == 2 { row.fail(.killed, "by the system") }
      if number == 3 { row.fail(.crashed, "early") }
    }
    try sweep.part("1/1", in: "b") { number, row in
      if number == 3 {
        row.fail(.timeout, "late")
        row.startedAt = "2026-11-28T11:00:00Z"
      }
    }
    for order in [["a", "b"], ["b", "a"]] {
      let merge = try sweep.merge(order, into: order.joined())
      let rows = try MeasurementRow.read(sweep.scratch(order.joined() + "/measurements.csv"))
      #expect(rows.count == 10 && rows.map(\.status).prefix(3) == [.ok, .ok, .timeout])
      #expect(merge.status.count(.failed) == 1 && merge.status.count(.done) == 9)
    }
  }

  @Test("rows that contradict each other are refused with both files and the column, and nothing is written")
  func contradiction() throws {
    let sweep = try FakeSweep()
    let one = try sweep.part("1/2"),
      other = try sweep.part("1/1", in: "other") { number, row in
        if number == 3 { row.secondsMedian = 0.5 }
      }
    let error = #expect(throws: UsageError.self) { try sweep.merge(["out", "other"], into: "both") }
    let text = error?.description ?? ""
    #expect(
      text.hasPrefix("\(one)/measurements.csv and \(other)/measurements.csv: cell ")
        && text.contains(": column seconds_median: 0.0016 there, 0.5 here;") && !text.contains("\n"),
      "\(text)")
    #expect(!FileManager.default.fileExists(atPath: sweep.scratch("both/measurements.csv")))
  }

  @Test("a cell of two machines has two rows, and each says its machine")
  func machines() throws {
    let sweep = try FakeSweep()
    try sweep.part("1/1", in: "a", machine: "A, 8 processors")
    try sweep.part("1/1", in: "b", machine: "B, 64 processors") { _, row in row.secondsMedian = 1e-3 }
    let merge = try sweep.merge(["a", "b"], into: "both")
    #expect(
      merge.machines == ["A, 8 processors", "B, 64 processors"] && merge.text.contains("rows of 2 machines"))
    let rows = try MeasurementRow.read(sweep.scratch("both/measurements.csv"))
    #expect(rows.count == 20 && Set(rows.map(\.cellID)).count == 10)
    #expect(merge.status.count(.done) == 10)
    // Who goes on there would mix them.
    let error = #expect(throws: UsageError.self) {
      try EnvironmentRecord.checkMachine(of: RunFolder(sweep.scratch("both")))
    }
    #expect(error != nil)
  }

  @Test("parts of different presets, or cut from different lists of cells, are refused")
  func differentPresets() throws {
    let sweep = try FakeSweep()
    let one = try sweep.part("1/2"), other = try sweep.part("2/2")
    try sweep.environment(of: other, start: "2026-11-28T09:00:00Z", machine: "M", hash: "1234")
    let error = #expect(throws: UsageError.self) { try sweep.merge() }
    #expect(
      error?.description.hasPrefix("\(one)/environment.json and \(other)/environment.json: preset_hash: ")
        == true)
    try sweep.part("2/2", in: "fresh")
    var entries = try CellEntry.read(in: one)
    for index in entries.indices { entries[index].cells = 12 }
    try RunFolder.replace(one + "/cells.csv", with: CellEntry.text(entries))
    let second = #expect(throws: UsageError.self) {
      try sweep.merge([one, "fresh"].map { $0.replacing(sweep.scratch.path + "/", with: "") }, into: "x")
    }
    #expect(second?.description.contains("/cells.csv: column cells: 12 there, 10 here: ") == true)
  }

  @Test("sessions of all parts stand in one record, the order of the parts aside")
  func sessions() throws {
    let sweep = try FakeSweep()
    for index in [2, 3, 1] { try sweep.part("\(index)/3") }
    _ = try sweep.merge()
    let record = try JSONValue(parsing: sweep.text("out/environment.json"))
    let starts = record["sessions"].arrayValue.compactMap { $0["started_at"].stringValue }
    #expect(starts == (1...3).map { "2026-11-28T09:0\($0):00Z" })
    #expect(record["preset_text"].stringValue == sweep.preset.source)
  }

  @Test("rows from before they said their machine get that of the record beside them")
  func oldRows() throws {
    let sweep = try FakeSweep()
    let part = try sweep.part("1/1", in: "old", machine: "")
    try RunFolder.replace(
      part + "/environment.json",
      with: #"{"machine": {"processor": "Old", "processors": 4}, "commit": "abc"}"#)
    _ = try sweep.merge(["old"], into: "out")
    let rows = try MeasurementRow.read(sweep.scratch("out/measurements.csv"))
    #expect(
      rows.allSatisfy { $0.machine == "Old, 4 processors" && $0.host == "node1" && $0.program == "00ff" })
  }

  @Test func whereThereIsNothingItSaysSo() throws {
    let sweep = try FakeSweep()
    #expect(throws: UsageError.self) { try sweep.merge(["none"]) }
    try sweep.part("2/3", in: "out")
    let own = "out/shards/2-of-3"
    let error = #expect(throws: UsageError.self) { try sweep.merge([own], into: own) }
    #expect(error?.description.contains("there is no shards/ with parts in it") == true)
  }

  @Test("one part is the whole: there is nothing to merge, and nothing is wrong")
  func onePart() throws {
    let sweep = try FakeSweep()
    try sweep.part("1/1", in: "alone")
    let merged = try sweep.merge(["alone"], into: "alone")
    #expect(merged.text.contains("alone is the only part"))
    #expect(try sweep.merge(["alone"], into: "alone").written.isEmpty)
  }
}
