import Settings

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

  /// Columns of settings, and of lines of attention.
  private static let settings: Set = [
    "configuration", "task_configuration", "model_configuration", "training_configuration", "evaluation_task",
  ]
  private static let lines: Set = ["attention", "evaluation_attention"]

  /// Rows in which names of settings have today's spelling.
  static func respelled(_ rows: [[String]], _ header: [String]) -> [[String]] {
    let pairs = header.indices.filter { settings.contains(header[$0]) }
    let attention = header.indices.filter { lines.contains(header[$0]) }
    guard !pairs.isEmpty || !attention.isEmpty else { return rows }
    return rows.map { row in
      var row = row
      for column in pairs { row[column] = Spelling.pairs(row[column]) }
      for column in attention { row[column] = Spelling.line(row[column]) }
      return row
    }
  }

  /// A header in today's names; a table that has both names keeps both.
  static func renamed(_ header: [String]) -> [String] {
    header.map { name in current[name].flatMap { header.contains($0) ? nil : $0 } ?? name }
  }
}
