import ArgumentParser
import Figures
import Foundation

/// A subcommand: what it does with files it declares, so that one check speaks for all of them.
protocol FileCommand: ParsableCommand {
  /// All files that it will read and write, as its arguments say.
  /// - Throws: what its `run` would throw for these arguments.
  func files() throws -> CommandFiles
}

/// The files that a command reads and writes.
struct CommandFiles {
  /// A file, and the flag or the words by which the user knows it.
  struct Entry: Hashable {
    let flag: String
    let path: String

    /// As messages name it.
    var name: String { flag.isEmpty ? path : "\(flag) \(path)" }
  }

  private(set) var inputs: [Entry] = []
  private(set) var outputs: [Entry] = []

  /// A command that reads and writes none.
  static let none = CommandFiles()

  /// The command reads a file, or all files of a folder.
  mutating func read(_ path: String?, _ flag: String = "") {
    guard let path else { return }
    inputs += Self.contents(path).map { Entry(flag: flag, path: $0) }
  }

  /// The command writes a file.
  mutating func write(_ path: String?, _ flag: String = "") {
    if let path { outputs.append(Entry(flag: flag, path: path)) }
  }

  /// The command draws a picture, and writes gnuplot's script and data beside it.
  mutating func draw(_ path: String?, _ flag: String = "") {
    guard let path else { return }
    for file in Gnuplot.files(of: path) { write(file, flag) }
  }

  /// The command writes files of these names into a folder.
  mutating func write(_ names: [String], in folder: String) {
    for name in names { write(folder + "/" + name) }
  }

  /// The file of `NAME=file.npy`.
  static func path(in pair: String) -> String? {
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
