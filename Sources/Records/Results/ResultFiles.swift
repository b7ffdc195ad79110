import Basics
import Foundation

/// Results as users name them: a CSV file, or a folder that holds `measurements.csv`.
public enum ResultFiles {
  /// What a folder of results holds that reports and comparisons read.
  private static let tables = ["measurements.csv", "runs.csv", "curves.csv", "environment.json"]

  /// The file of a path.
  public static func file(_ path: String) -> String { isFolder(path) ? path + "/measurements.csv" : path }

  /// The files that reading a path's results reads.
  public static func read(in path: String) -> [String] {
    isFolder(path) ? tables.map { path + "/" + $0 } : [path]
  }

  private static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
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
  public static func trainings(
    _ files: [String], dialect: CSVDialect = CSVDialect()
  ) throws(UsageError) -> [TrainingRow] {
    try TrainingRow.gather(files) { path throws(UsageError) in try TrainingRow.read(path, dialect: dialect) }
  }
}
