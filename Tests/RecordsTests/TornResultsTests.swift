import Basics
import Foundation
import LabTestSupport
import Testing

@testable import Records

/// Results that were cut off, or that no measurement can have given.
@Suite struct TornResultsTests {
  private static let row: MeasurementRow = {
    var row = MeasurementRow()
    (row.variant, row.pass, row.status, row.queryLength) = ("full", .forward, .ok, 256)
    (row.batch, row.queryHeads, row.keyHeads, row.keyLength) = (1, 1, 1, 256)
    (row.headDim, row.valueDim, row.causal, row.threads) = (64, 64, false, 2)
    (row.secondsMedian, row.secondsP20, row.secondsP80) = (0.01, 0.009, 0.012)
    (row.errorOracleRel, row.program) = (1.5e-7, "0123456789abcdef")
    return row
  }()

  private func read(_ text: String) throws -> [MeasurementRow] {
    let scratch = try Scratch()
    return try MeasurementRow.read(scratch.write("measurements.csv", text))
  }

  private static var lines: String {
    CSVTable.line(MeasurementRow.columns) + CSVTable.line(row.fields)
  }

  @Test(
    "a number that lost its last digits is a number still: the missing line break tells", arguments: 1...8)
  func tornLastField(removed: Int) throws {
    #expect(try read(Self.lines).first?.errorOracleRel == 1.5e-7)
    let error = #expect(throws: UsageError.self) { try read(String(Self.lines.dropLast(removed))) }
    #expect(
      error?.description.contains(":2: the last line has no line break") == true,
      "\(String(describing: error))")
  }

  @Test func aTableOfAnotherProgramMayEndAsItLikes() throws {
    let table = try CSVTable(text: "n,t\n1,2", file: "a.csv")
    #expect(table.rows == [["1", "2"]] && !table.isWhole)
    #expect(try CSVTable(text: "n,t\r\n1,2\r\n", file: "a.csv").isWhole)
  }

  @Test(arguments: [
    ("seconds_median", "-1", "-1 is not a number above 0"),
    ("seconds_median", "nan", "nan is not a number above 0"),
    ("seconds_median", "0", "0 is not a number above 0"),
    ("seconds_median", "inf", "inf is not a number above 0"),
    ("seconds_median", "", "the cell is empty; it takes a number above 0"),
    ("seconds_p20", "-0.5", "-0.5 is not a number above 0"),
    ("error_rel", "-1", "-1 is not a number of at least 0"),
    ("gflops", "inf", "inf is not a number of at least 0"),
    ("query_length", "-4", "-4 is not a whole number of at least 1"),
    ("memory_bytes", "1.5", "1.5 is not a whole number of at least 0"),
  ])
  func impossibleValues(_ column: String, _ value: String, _ expected: String) throws {
    var fields = Self.row.fields
    fields[try #require(MeasurementRow.columns.firstIndex(of: column))] = value
    let error = #expect(throws: UsageError.self) {
      try read(CSVTable.line(MeasurementRow.columns) + CSVTable.line(fields))
    }
    #expect(
      error?.description.contains(":2: column \(column): \(expected)") == true, "\(String(describing: error))"
    )
  }

  @Test("a torn runs.csv is refused, an empty one has no rows")
  func trainings() throws {
    let scratch = try Scratch(), path = scratch("runs.csv")
    let header = CSVTable.line(TrainingRow.columns)
    var training = TrainingRow()
    (training.runID, training.commit) = ("a", "0123456789")
    (training.task, training.seed, training.status, training.evaluation) = ("mqar", 1, .error, .test)
    let row = CSVTable.line(training.fields)
    func write(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }
    try write(header + row)
    #expect(try TrainingRow.read(path).count == 1)
    try write(header + row.dropLast(3))
    #expect(throws: UsageError.self) { try TrainingRow.read(path) }
    try write(header)
    #expect(try TrainingRow.read(path).isEmpty)
  }
}
