import Basics
import Foundation
import Records

extension Runner {
  /// Gives what an earlier version wrote under other ids today's, before a run goes on with it: rows of all tables of the
  /// kind, and files that an id names, such as checkpoints. An interruption on the way leaves both readable.
  /// - Throws: `UsageError` when a table cannot be read or written; `FileFailure` for a file that cannot be moved.
  func adoptFormerRows() throws {
    let pairs = cells.flatMap { cell in cell.formerIDs.map { ($0, cell.id) } }
    let ids = Dictionary(pairs) { first, _ in first }
    for table in Kind.tables { try Self.adopt(ids, in: "\(folder.path)/\(table.name)") }
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    for file in files {
      guard let dot = file.firstIndex(of: "."), let id = ids[String(file[..<dot])] else { continue }
      let today = "\(folder.path)/\(id)\(file[dot...])"
      guard !FileManager.default.fileExists(atPath: today) else { continue }
      try Folder.rename("\(folder.path)/\(file)", to: today)
    }
  }

  private static func adopt(_ ids: [String: String], in file: String) throws(UsageError) {
    guard let bytes = FileManager.default.contents(atPath: file), !bytes.isEmpty else { return }
    let table = try CSVTable(contentsOf: file), column = try table.index(of: Kind.Row.idColumn)
    guard table.rows.contains(where: { ids[$0[column]] != nil }) else { return }
    let rows = table.rows.map { row in
      var row = row
      row[column] = ids[row[column]] ?? row[column]
      return row
    }
    try RunFolder.replace(file, with: ([table.header] + rows).map(CSVTable.line).joined())
  }
}
