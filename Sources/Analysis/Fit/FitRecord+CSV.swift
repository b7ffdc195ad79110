import Basics
import Records

extension FitRecord {
  /// Writes `fits.csv` at once: a reader never sees half a file.
  /// - Throws: `UsageError` when it cannot be written.
  public static func write(_ records: [FitRecord], to path: String) throws(UsageError) {
    let text = ([FitRow.columns] + records.flatMap(\.rows).map(\.fields)).map(CSVTable.line).joined()
    do throws(FileFailure) { try Folder.create(of: path) } catch { throw UsageError(error.description) }
    try RunFolder.replace(path, with: text)
  }
}
