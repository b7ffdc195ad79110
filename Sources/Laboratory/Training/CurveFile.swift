import Foundation

/// `curves.csv`, rid of what a killed training leaves in it.
public enum CurveFile {
  /// Removes a torn last line and the points after a step: a training that goes on from there makes them again.
  /// - Parameter id: the training whose points are meant; `nil`: all.
  /// - Throws: `UsageError` when the file cannot be read or written.
  public static func cut(_ file: String, after step: Int, of id: String? = nil) throws(UsageError) {
    guard FileManager.default.fileExists(atPath: file) else { return }
    _ = try RowWriter.repair(file)
    guard FileManager.default.contents(atPath: file)?.isEmpty == false else { return }
    let table = try CSVTable(contentsOf: file)
    let training = try table.index(of: "run_id"), at = try table.index(of: "step")
    let kept = table.rows.filter { row in
      (id != nil && row[training] != id) || (Int(row[at]) ?? 0) <= step
    }
    guard kept.count < table.rows.count else { return }
    try RunFolder.replace(file, with: ([table.header] + kept).map(CSVTable.line).joined())
  }
}
