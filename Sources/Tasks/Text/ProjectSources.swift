import Basics
import Foundation

extension TextCorpus {
  /// The text that needs no path: the project's own sources.
  /// - Parameters:
  ///   - anchors: files or folders from which the project is looked for, upwards, before the usual places.
  ///   - limit: how many bytes are enough.
  /// - Throws: `TextError` when they are not found.
  public static func projectSources(
    anchors: [String] = [], limit: Int = .max
  ) throws(TextError) -> TextCorpus {
    guard let folder = projectFolder(anchors: anchors) else {
      throw TextError(
        "text: the project's own sources are not here; name a text file or a folder: --set task.path=FILE, of attnlab task --set path=FILE"
      )
    }
    return try TextCorpus(path: folder, limit: limit)
  }

  /// The folder of the project's sources, found above the anchors, the working folder, the program (also where
  /// `make install` puts them beside it), or the place where it was compiled; `nil` when none of these has them.
  public static func projectFolder(anchors: [String] = []) -> String? {
    let program = Bundle.main.executablePath ?? CommandLine.arguments.first ?? ""
    let starts = anchors + [FileManager.default.currentDirectoryPath, program, #filePath]
    return starts.lazy.filter { !$0.isEmpty }.compactMap(folder(above:)).first
  }

  private static func folder(above start: String) -> String? {
    InstalledFiles.folders(above: start).map { $0.appendingPathComponent("Sources") }
      .first { FileManager.default.fileExists(atPath: $0.appendingPathComponent("Tasks/Text").path) }?.path
  }
}
