import Foundation

/// Results as users name them: a CSV file, or a folder that holds `measurements.csv`.
public enum ResultFiles {
  /// The file of a path.
  public static func file(_ path: String) -> String {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    return exists && isFolder.boolValue ? path + "/measurements.csv" : path
  }

  /// The rows of several files, one after another.
  /// - Throws: `UsageError` for a file that cannot be read or holds no rows.
  public static func rows(_ paths: [String]) throws(UsageError) -> [MeasurementRow] {
    var rows: [MeasurementRow] = []
    for path in paths {
      let found = try MeasurementRow.read(file(path))
      guard !found.isEmpty else { throw UsageError("\(file(path)): there are no rows in it") }
      rows += found
    }
    return rows
  }
}
