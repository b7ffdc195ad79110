import Foundation

/// Text that cannot be used, in one line: which path, what is wrong, what is allowed.
public struct TextError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The line.
  public let description: String
  /// Creates the error.
  public init(_ description: String) { self.description = description }
}

/// The bytes of a text file, or of all text files below a folder in the order of their paths.
///
/// Hidden files and folders, symbolic links, empty files and binary files (a zero byte in the first 8 KiB) inside a
/// folder are passed over. Files are separated by one newline.
public struct TextCorpus: Hashable, Sendable {
  /// What the user named.
  public let path: String
  /// All bytes.
  public let bytes: [UInt8]
  /// How many files were read.
  public let fileCount: Int

  /// Reads a file or a folder.
  /// - Parameter path: empty for the project's own sources.
  /// - Throws: `TextError`: nothing there, not readable, binary, empty, no text below.
  public init(path: String) throws(TextError) {
    if path.isEmpty {
      self = try TextCorpus.projectSources()
    } else {
      self = try TextCorpus(path: path, extensions: nil)
    }
  }

  /// A corpus in memory.
  public init(bytes: [UInt8], named path: String) {
    self.bytes = bytes
    self.path = path
    fileCount = 1
  }

  /// 64-bit FNV-1a of the bytes, in hexadecimal: tells two texts apart in a record.
  public var fingerprint: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  init(path: String, extensions: Set<String>?) throws(TextError) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw TextError("\(path): no such file or folder; name a text file or a folder of text files")
    }
    self.path = path
    if isFolder.boolValue {
      var all: [UInt8] = []
      var count = 0
      var unreadable = 0, binary = 0
      for file in try TextCorpus.files(below: path, extensions: extensions) {
        guard let data = FileManager.default.contents(atPath: file) else {
          unreadable += 1
          continue
        }
        if TextCorpus.isBinary(data) {
          binary += 1
          continue
        }
        guard !data.isEmpty else { continue }
        if !all.isEmpty { all.append(UInt8(ascii: "\n")) }
        all.append(contentsOf: data)
        count += 1
      }
      guard count > 0 else {
        throw TextError(
          "\(path): no text in this folder (\(binary) binary and \(unreadable) unreadable files passed over); "
            + "name a text file or a folder of text files")
      }
      bytes = all
      fileCount = count
    } else {
      guard let data = FileManager.default.contents(atPath: path) else {
        throw TextError("\(path): cannot be read; name a file that you may read")
      }
      guard !data.isEmpty else { throw TextError("\(path): the file is empty; name a text file") }
      guard !TextCorpus.isBinary(data) else {
        throw TextError("\(path): a binary file (it has a zero byte); name a text file")
      }
      bytes = Array(data)
      fileCount = 1
    }
  }

  private static func isBinary(_ data: Data) -> Bool { data.prefix(8192).contains(0) }

  /// Regular files below a folder, sorted by path so that every machine reads them in the same order.
  private static func files(below folder: String, extensions: Set<String>?) throws(TextError) -> [String] {
    var files: [String] = []
    var pending = [folder]
    while let next = pending.popLast() {
      let names: [String]
      do {
        names = try FileManager.default.contentsOfDirectory(atPath: next)
      } catch {
        guard next == folder else { continue }
        throw TextError("\(folder): the folder cannot be read; name a folder that you may read")
      }
      for name in names where !name.hasPrefix(".") {
        let path = next.hasSuffix("/") ? next + name : next + "/" + name
        guard let kind = try? FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
        else { continue }
        if kind == .typeDirectory {
          pending.append(path)
        } else if kind == .typeRegular {
          let suffix = name.split(separator: ".").last.map(String.init) ?? ""
          if extensions?.contains(suffix) ?? true { files.append(path) }
        }
      }
    }
    return files.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
  }
}

extension TextCorpus {
  /// The project's own sources: found from the working folder, from the program, or from where it was compiled.
  /// - Throws: `TextError` when none of these has them.
  public static func projectSources() throws(TextError) -> TextCorpus {
    let program = URL(fileURLWithPath: CommandLine.arguments.first ?? ".").deletingLastPathComponent().path
    for start in [FileManager.default.currentDirectoryPath, program, #filePath] {
      if let root = root(above: start) {
        return try TextCorpus(path: root + "/Sources", extensions: ["swift", "c", "h"])
      }
    }
    throw TextError(
      "text: the project's own sources are not here; name a text file or a folder, as in --set path=FILE")
  }

  /// The nearest folder above that holds this package.
  private static func root(above start: String) -> String? {
    var folder = URL(fileURLWithPath: start).standardizedFileURL
    for _ in 0..<64 {
      let marker = folder.appendingPathComponent("Sources/Tasks/Text").path
      if FileManager.default.fileExists(atPath: marker) { return folder.path }
      guard folder.path != "/", !folder.path.isEmpty else { return nil }
      folder.deleteLastPathComponent()
    }
    return nil
  }
}
