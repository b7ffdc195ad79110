import Foundation
import Laboratory

/// The files that a command writes.
enum OutputFiles {
  /// Refuses two results that would land in the same file, however the paths are spelt, and a result that would
  /// replace what is read.
  /// - Parameters:
  ///   - outputs: flags and the paths given with them, those that were.
  ///   - inputs: the files that the command reads.
  /// - Throws: `UsageError` naming both flags, or the input.
  static func check(_ outputs: [(flag: String, path: String?)], inputs: [String?]) throws(UsageError) {
    let read = Dictionary(inputs.compactMap(\.self).map { (place($0), $0) }) { first, _ in first }
    var seen: [String: String] = [:]
    for (flag, path) in outputs {
      guard let path, isReplaceable(path) else { continue }
      let place = place(path)
      if let input = read[place] {
        throw UsageError("\(flag) \(path): this would replace the input \(input); name another file")
      }
      if let other = seen[place] {
        throw UsageError("\(flag) \(path): \(other) writes to the same file; two results need two files")
      }
      seen[place] = flag
    }
  }

  /// Devices and pipes take one result after another.
  private static func isReplaceable(_ path: String) -> Bool {
    guard
      let kind = try? FileManager.default.attributesOfItem(atPath: real(path))[.type] as? FileAttributeType
    else { return true }
    return kind == .typeRegular || kind == .typeDirectory
  }

  /// Where a path leads: links followed, of a file that is yet to be made those of its folder.
  private static func place(_ path: String) -> String {
    if FileManager.default.fileExists(atPath: path) { return real(path) }
    let url = URL(fileURLWithPath: path)
    return real(url.deletingLastPathComponent().path) + "/" + url.lastPathComponent
  }

  private static func real(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return URL(fileURLWithPath: path).standardized.path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
