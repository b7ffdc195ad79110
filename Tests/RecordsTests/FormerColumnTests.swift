import Basics
import LabTestSupport
import Testing

@testable import Records

/// Columns are a contract: a table with the earlier name of a column is read as if it had today's.
@Suite struct FormerColumnTests {
  private static let text =
    "variant,pass,query_length,status,seconds_median,tile_waste\nfull,forward,64,ok,1,1.5\n"

  @Test("a row under the earlier name has its value, and either name finds the column")
  func read() throws {
    let table = try CSVTable(text: Self.text, file: "m.csv")
    #expect(try MeasurementRow.read(table).map(\.paddingOverhead) == [1.5])
    #expect(try table.numbers("tile_waste") == [1.5])
    #expect(try table.numbers("padding_overhead") == [1.5])
    #expect(throws: UsageError.self) { try table.numbers("tile_wast") }
  }

  @Test("a table that gets rows keeps the values")
  func extended() throws {
    let scratch = try Scratch()
    let header = MeasurementRow.columns.map { $0 == "padding_overhead" ? "tile_waste" : $0 }.dropLast()
    let row = header.map { $0 == "tile_waste" ? "1.5" : "" }
    let file = try scratch.write("m.csv", [Array(header), row].map(CSVTable.line).joined())
    _ = try RowWriter(path: file, of: MeasurementRow.self)
    let table = try CSVTable(contentsOf: file)
    #expect(table.header == MeasurementRow.columns)
    #expect(try table.numbers("padding_overhead") == [1.5])
  }

  @Test("every earlier name stands for a column, and is none itself")
  func names() {
    let columns = MeasurementRow.columns + TrainingRow.columns + CurveRow.columns + StepRow.columns
    #expect(FormerColumns.current["tile_waste"] == "padding_overhead")
    for (former, name) in FormerColumns.current {
      #expect(columns.contains(name) && !columns.contains(former), "\(former)")
    }
  }
}
