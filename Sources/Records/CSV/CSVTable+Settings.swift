import Basics
import Settings

extension CSVTable {
  /// The table with a column for every setting that its columns of settings name, behind the others: `left` of a variant
  /// (`configuration`, `left=64;right=0`), `task.length`, `model.width` and `training.batch` of trainings,
  /// `evaluation.length` of a changed evaluation.
  /// A row that does not have the setting has an empty cell there, and a column of the file itself stays what it is.
  /// - Complexity: O(bytes of these columns).
  package var withSettings: CSVTable {
    let columns = Self.columnsOfSettings.compactMap { name, prefix in
      header.firstIndex(of: name).map { (place: $0, prefix: prefix) }
    }
    guard !columns.isEmpty else { return self }
    let settings = rows.map { row in
      columns.reduce(into: [String: String]()) { settings, column in
        for (name, value) in Self.settings(in: row[column.place]) {
          settings[column.prefix.isEmpty ? name : column.prefix + Spelling.today(name)] = value
        }
      }
    }
    let names = Set(settings.flatMap(\.keys)).subtracting(header).sorted()
    guard !names.isEmpty else { return self }
    return CSVTable(
      file: file, header: header + names,
      rows: zip(rows, settings).map { row, settings in row + names.map { settings[$0] ?? "" } }, lines: lines,
      isWhole: isWhole)
  }

  /// The pairs of a cell of settings, `name=value;…`; what is no pair is left out.
  package static func settings(in cell: String) -> [(name: String, value: String)] {
    cell.split(separator: ";").compactMap { pair in
      let sides = pair.split(separator: "=", maxSplits: 1)
      return sides.count == 2 ? (sides[0].trimmed, sides[1].trimmed) : nil
    }
  }

  /// Columns whose cells are settings, and what their names begin with.
  private static let columnsOfSettings = [
    ("configuration", ""), ("task_configuration", "task."), ("model_configuration", "model."),
    ("training_configuration", "training."), ("evaluation_task", "evaluation."),
  ]

  private init(file: String, header: [String], rows: [[String]], lines: [Int], isWhole: Bool) {
    (self.file, self.header, self.rows) = (file, header, rows)
    (self.lines, self.isWhole) = (lines, isWhole)
  }
}
