import Basics
import Foundation
import Records
import Settings

/// A table of a training's steps (`steps.csv`, `curves.csv`), rid of what a killed training leaves in it.
enum StepTable {
  /// Removes a torn last line and the rows of a training after a step: it goes on from there and makes them again.
  /// - Parameters:
  ///   - file: the table.
  ///   - step: the last that is kept.
  ///   - id: the training.
  ///   - isAlone: the file is this training's own; rows under another id are its too, from when it was to have fewer
  ///     steps.
  /// - Throws: `UsageError` when the file cannot be read or written.
  static func cut(_ file: String, after step: Int, of id: String, isAlone: Bool) throws(UsageError) {
    guard FileManager.default.fileExists(atPath: file) else { return }
    _ = try RowWriter.repair(file)
    guard let data = FileManager.default.contents(atPath: file), !data.isEmpty,
      isAlone || data.firstRange(of: Data(id.utf8)) != nil
    else { return }
    let table = try CSVTable(contentsOf: file)
    let training = try table.index(of: "run_id"), at = try table.index(of: "step")
    var kept = table.rows.filter { row in
      (!isAlone && row[training] != id) || (CoreScalar(row[at]).whole ?? 0) <= step
    }
    if isAlone { for row in kept.indices { kept[row][training] = id } }
    guard kept != table.rows else { return }
    try RunFolder.replace(file, with: ([table.header] + kept).map(CSVTable.line).joined())
  }
}
