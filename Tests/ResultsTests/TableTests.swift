import Presets
import Records
import Testing

/// The tables that the kinds of experiment declare.
@Suite struct TableTests {
  @Test("every column has a meaning, in one line, and a name of its own")
  func everyColumnIsExplained() {
    for table in ResultTables(ExperimentCatalog.standard.types.flatMap { $0.tables }).tables {
      #expect(Set(table.columns.map(\.name)).count == table.columns.count)
      for column in table.columns {
        #expect(!column.help.isEmpty && !column.help.contains("\n"), "\(table.name) \(column.name)")
        let isOfBytes = column.name.split(separator: "_").contains("bytes")
        #expect(isOfBytes == (column.unit == "bytes"), "\(table.name) \(column.name)")
      }
    }
  }

  @Test("the tables and their order are a contract")
  func tables() {
    let tables = ResultTables(ExperimentCatalog.standard.types.flatMap { $0.tables }).tables
    #expect(
      tables.map(\.name) == [
        "measurements.csv", "runs.csv", "curves.csv", "steps.csv", "cells.csv", "stats.csv", "fits.csv",
      ])
  }
}
