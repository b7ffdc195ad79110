import Basics
import Foundation

extension MeasurementRow {
  /// Reads all rows of a results file.
  /// - Throws: `UsageError` when a column that identifies a row is missing or a field has the wrong type.
  public static func read(
    _ path: String, dialect: CSVDialect = CSVDialect()
  ) throws(UsageError) -> [MeasurementRow] {
    let table = try CSVTable(contentsOf: path, dialect: dialect)
    if isHeader(table.header) { try table.requireWhole() }
    return try read(table)
  }

  /// Whether a header is that of a `measurements.csv`.
  public static func isHeader(_ header: [String]) -> Bool { identifying.allSatisfy(header.contains) }

  private static let identifying = ["variant", "pass", "query_length", "status", "seconds_median"]

  /// Reads all rows of a table.
  /// - Throws: `UsageError` as above.
  public static func read(_ table: CSVTable) throws(UsageError) -> [MeasurementRow] {
    for column in identifying where !table.header.contains(column) {
      throw UsageError("\(table.file): no column \(column): this is no measurements.csv")
    }
    return try rows(of: table)
  }

  /// Reads the object that `attnlab measure --json` prints.
  /// - Throws: `UsageError` when it is none.
  public static func read(json: String) throws(UsageError) -> MeasurementRow {
    try MeasurementRow(json: .object(decoding: json, place: "measure"), place: "measure")
  }

  /// Rows of length of k and v; where a table does not say, that of q.
  package var keys: Int? { keyLength ?? queryLength }
}
