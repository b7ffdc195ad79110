import Basics
import Foundation

/// The check that no command writes over what it reads, or twice into one file.
package enum OutputFiles {
  /// What tells two files apart, however their paths are spelt: links are followed, hard links are one file.
  private enum Place: Hashable {
    case file(device: UInt64, number: UInt64)
    case new(path: String)
  }

  /// Refuses two results that would land in the same file, and a result that would replace what is read. Standard
  /// output counts as a result when it goes to a file.
  /// - Throws: `UsageError` naming both.
  package static func check(_ files: CommandFiles) throws(UsageError) {
    var read: [Place: CommandFiles.Entry] = [:]
    for input in files.inputs {
      if let place = place(of: input.path), read[place] == nil { read[place] = input }
    }
    var written: [Place: CommandFiles.Entry] = [:]
    if let place = placeOfStandardOutput() {
      if let input = read[place] {
        throw UsageError("standard output goes to the input \(input.path); send it to another file")
      }
      written[place] = .init(flag: "", path: "standard output")
    }
    for output in files.outputs {
      guard let place = place(of: output.path) else { continue }
      if let input = read[place] {
        throw UsageError("\(output.name): this would replace the input \(input.path); name another file")
      }
      if let other = written[place] {
        let name = other.flag.isEmpty ? other.path : other.flag
        throw UsageError("\(output.name): \(name) writes to the same file; two results need two files")
      }
      written[place] = output
    }
  }

  /// Where a path leads; `nil` for devices and pipes, which take one result after another.
  private static func place(of path: String) -> Place? {
    var status = stat()
    if stat(path, &status) == 0 { return place(of: status) }
    // A file that is yet to be made: its folder tells.
    let url = URL(fileURLWithPath: path)
    let folder = url.deletingLastPathComponent().path
    guard let resolved = realpath(folder, nil) else { return .new(path: url.standardized.path) }
    defer { free(resolved) }
    return .new(path: String(cString: resolved) + "/" + url.lastPathComponent)
  }

  private static func place(of status: stat) -> Place? {
    guard status.st_mode & S_IFMT == S_IFREG else { return nil }
    return .file(
      device: UInt64(truncatingIfNeeded: status.st_dev), number: UInt64(truncatingIfNeeded: status.st_ino))
  }

  private static func placeOfStandardOutput() -> Place? {
    var status = stat()
    return fstat(STDOUT_FILENO, &status) == 0 ? place(of: status) : nil
  }
}
