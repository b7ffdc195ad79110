/// Columns that have another name now. A table is a contract: one that has the old name is read as if it had the new one, and
/// whoever asks for a column by its old name gets it.
package enum FormerColumns {
  /// Today's name, by the earlier one.
  package static let current: [String: String] = {
    let pairs = former(MeasurementRow.schema) + former(TrainingRow.schema) + former(CurveRow.schema)
    return Dictionary(pairs) { first, _ in first }
  }()

  private static func former<Row>(_ schema: [Field<Row>]) -> [(String, String)] {
    schema.compactMap { field in field.formerName.map { ($0, field.name) } }
  }

  /// A header in today's names; a table that has both names keeps both.
  static func renamed(_ header: [String]) -> [String] {
    header.map { name in current[name].flatMap { header.contains($0) ? nil : $0 } ?? name }
  }
}
