import Figures
import Foundation

/// The files that a command reads and writes.
package struct CommandFiles {
  /// A file, and the flag or the words by which the user knows it.
  package struct Entry: Hashable {
    package let flag: String
    package let path: String

    /// As messages name it.
    package var name: String { flag.isEmpty ? path : "\(flag) \(path)" }
  }

  package private(set) var inputs: [Entry] = []
  package private(set) var outputs: [Entry] = []

  /// Creates a list without files.
  package init() {}

  /// A command that reads and writes none.
  package static let none = CommandFiles()

  /// The command reads a file, or all files of a folder.
  package mutating func read(_ path: String?, _ flag: String = "") {
    guard let path else { return }
    inputs += Self.contents(path).map { Entry(flag: flag, path: $0) }
  }

  /// The command writes a file.
  package mutating func write(_ path: String?, _ flag: String = "") {
    if let path { outputs.append(Entry(flag: flag, path: path)) }
  }

  /// The command draws a picture, and writes gnuplot's script and data beside it.
  package mutating func draw(_ path: String?, _ flag: String = "") {
    guard let path else { return }
    for file in Gnuplot.files(of: path) { write(file, flag) }
  }

  /// The command writes files of these names into a folder.
  package mutating func write(_ names: [String], in folder: String) {
    for name in names { write(folder + "/" + name) }
  }

  /// The file of `NAME=file.npy`.
  package static func path(in pair: String) -> String? {
    let path = pair.drop { $0 != "=" }.dropFirst()
    return path.isEmpty ? nil : String(path)
  }

  private static func contents(_ path: String) -> [String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      return [path]
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.filter { !$0.hasPrefix(".") }.map { path + "/" + $0 }
  }
}
