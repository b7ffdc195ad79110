import Foundation

/// Bytes of real text from a file, a folder, or the project's own sources.
public struct TextSource: Sendable {
  /// Where the bytes came from, for `environment.json`.
  public let origin: String
  /// The bytes; never empty.
  public let bytes: [UInt8]

  /// Reads text.
  /// - Parameters:
  ///   - path: a file or a folder (its text files in the order of their paths); `nil`: the project's own sources.
  ///   - anchors: files or folders from which the project is looked for, upwards.
  ///   - limit: how many bytes are enough.
  /// - Throws: `UsageError` when there is nothing to read.
  public init(path: String?, anchors: [String] = [], limit: Int) throws(UsageError) {
    if let path {
      origin = path
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
        throw UsageError("input.text: \(path): no such file or folder")
      }
      bytes = isFolder.boolValue ? Self.folder(path, limit: limit) : Self.file(path, limit: limit) ?? []
      guard !bytes.isEmpty else { throw UsageError("input.text: \(path): there is no text in it") }
      return
    }
    for root in Self.projectRoots(from: anchors) {
      let found = Self.folder(root + "/Sources", limit: limit)
      if !found.isEmpty {
        // Relative, so that a record of a run tells nothing of where the package lies.
        (origin, bytes) = ("Sources", found)
        return
      }
    }
    (origin, bytes) = ("built-in text", Array(BuiltInText.text.utf8))
  }

  /// The folder of the project's sources, or `nil` when the program runs far from them.
  public static func projectSources(anchors: [String]) -> String? {
    projectRoots(from: anchors).first.map { $0 + "/Sources" }
  }

  /// Folders above the anchors, the working folder and the program that hold this package.
  private static func projectRoots(from anchors: [String]) -> [String] {
    let starts = anchors + [FileManager.default.currentDirectoryPath, Bundle.main.executablePath ?? ""]
    var roots: [String] = []
    for start in starts where !start.isEmpty {
      var url = URL(fileURLWithPath: start).standardizedFileURL.resolvingSymlinksInPath()
      while url.path != "/" {
        let marker = url.appendingPathComponent("Sources/AttentionCore").path
        if FileManager.default.fileExists(atPath: marker), !roots.contains(url.path) {
          roots.append(url.path)
        }
        url.deleteLastPathComponent()
      }
    }
    return roots
  }

  private static func file(_ path: String, limit: Int) -> [UInt8]? {
    guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
    defer { try? handle.close() }
    return (try? handle.read(upToCount: limit)).flatMap { $0 }.map { [UInt8]($0) }
  }

  /// All text files below a folder, hidden ones left out, in the order of their paths.
  private static func folder(_ path: String, limit: Int) -> [UInt8] {
    guard let walker = FileManager.default.enumerator(atPath: path) else { return [] }
    let names = walker.compactMap { $0 as? String }
      .filter { !$0.split(separator: "/").contains { $0.hasPrefix(".") } }.sorted()
    var bytes: [UInt8] = []
    for name in names where bytes.count < limit {
      guard let content = file(path + "/" + name, limit: limit - bytes.count) else { continue }
      // A zero byte near the start marks a binary file.
      if !content.prefix(4096).contains(0) { bytes += content }
    }
    return bytes
  }
}
