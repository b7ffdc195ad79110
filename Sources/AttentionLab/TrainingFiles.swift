import Foundation
import Records

/// Whether results that a user names are those of trainings.
enum TrainingFiles {
  /// Whether a file, or the one in a folder, holds trainings.
  static func isTrainings(_ path: String, dialect: CSVDialect = CSVDialect()) -> Bool {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return false }
    let files = FileManager.default
    if isFolder.boolValue {
      return files.fileExists(atPath: path + "/runs.csv")
        && !files.fileExists(atPath: path + "/measurements.csv")
    }
    return (try? CSVTable(contentsOf: path, dialect: dialect)).map { TrainingRow.isHeader($0.header) }
      ?? false
  }

  /// The `runs.csv` of a path.
  static func file(_ path: String) -> String {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    return exists && isFolder.boolValue ? path + "/runs.csv" : path
  }
}
