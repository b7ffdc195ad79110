import Foundation

/// Results as users name them: a CSV file, or a folder that holds `measurements.csv`.
public enum ResultFiles {
  /// The file of a path.
  public static func file(_ path: String) -> String {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    return exists && isFolder.boolValue ? path + "/measurements.csv" : path
  }

  /// The rows of several files, one after another, each with the machine that it was made on.
  /// - Throws: `UsageError` for a file that cannot be read or holds no rows.
  public static func rows(
    _ paths: [String], dialect: CSVDialect = CSVDialect()
  ) throws(UsageError) -> [MeasurementRow] {
    try MeasurementRow.gather(paths.map(file)) { path throws(UsageError) in
      try MeasurementRow.read(path, dialect: dialect)
    }
  }

  /// The trainings of several files, likewise.
  /// - Throws: `UsageError` for a file that cannot be read or holds no rows.
  public static func trainings(_ files: [String]) throws(UsageError) -> [TrainingRow] {
    try TrainingRow.gather(files) { path throws(UsageError) in try TrainingRow.read(path) }
  }
}
