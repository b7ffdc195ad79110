import Basics

extension CSVTable {
  /// The table with a column for every setting that its column `configuration` names (`left=64;right=0`), behind the others.
  /// A row whose variant does not have the setting has an empty cell there, and a column of the file itself stays what it
  /// is.
  /// - Complexity: O(bytes of the column).
  package var withSettings: CSVTable {
    guard let column = header.firstIndex(of: "configuration") else { return self }
    let settings = rows.map { row in
      row[column].split(separator: ";").reduce(into: [String: String]()) { settings, pair in
        let sides = pair.split(separator: "=", maxSplits: 1)
        if sides.count == 2 { settings[sides[0].trimmed] = sides[1].trimmed }
      }
    }
    let names = Set(settings.flatMap(\.keys)).subtracting(header).sorted()
    guard !names.isEmpty else { return self }
    return CSVTable(
      file: file, header: header + names,
      rows: zip(rows, settings).map { row, settings in row + names.map { settings[$0] ?? "" } }, lines: lines,
      isWhole: isWhole)
  }

  private init(file: String, header: [String], rows: [[String]], lines: [Int], isWhole: Bool) {
    (self.file, self.header, self.rows) = (file, header, rows)
    (self.lines, self.isWhole) = (lines, isWhole)
  }
}
